-- What is left of a dump, and whether people asked that it stay.
ALTER TABLE dumps ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
-- Whether the memory goes as soon as there is a report.
ALTER TABLE dumps ADD COLUMN trace INTEGER NOT NULL DEFAULT 0;
-- Bytes on disk of the memory, a part of stored_bytes.
ALTER TABLE dumps ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;
-- Why less is left of the memory than was captured.
ALTER TABLE dumps ADD COLUMN dropped TEXT;
-- What is known of older dumps: records and reports are small beside a core.
UPDATE dumps SET memory_bytes = stored_bytes WHERE kept <> 'none';
CREATE INDEX dumps_by_pin ON dumps (pinned) WHERE pinned <> 0;
