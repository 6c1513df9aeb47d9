-- What a million crashes are searched and counted by. All of it is computed from the files beside
-- the dumps, so the rows go and the start that follows reads them in again.
DELETE FROM jobs;
DELETE FROM dump_modules;
DELETE FROM dumps;
DELETE FROM group_facets;
DELETE FROM groups;
DELETE FROM container_labels;
DELETE FROM container_digests;
DELETE FROM containers;
DROP TABLE dump_functions;
DROP TABLE functions;
DROP TABLE group_facets;

-- Names on stacks and of modules, each once; `short` is a function's without scope and arguments.
CREATE TABLE names (
  key   INTEGER PRIMARY KEY,
  kind  TEXT NOT NULL,             -- function, file, module, build_id
  name  TEXT NOT NULL,
  short TEXT,
  UNIQUE (kind, name)
) STRICT;
CREATE INDEX names_by_short ON names (kind, short) WHERE short IS NOT NULL;

-- Sets of names that many dumps share: the functions and files of a stack, a process's modules.
CREATE TABLE name_sets (
  key    INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE
) STRICT;
CREATE TABLE set_names (
  name_set INTEGER NOT NULL REFERENCES name_sets (key) ON DELETE CASCADE,
  name     INTEGER NOT NULL REFERENCES names (key),
  PRIMARY KEY (name_set, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX set_names_by_name ON set_names (name, name_set);

ALTER TABLE dumps ADD COLUMN stack INTEGER REFERENCES name_sets (key);
ALTER TABLE dumps ADD COLUMN modules INTEGER REFERENCES name_sets (key);
-- The image again, so that its crashes lie in the order of time.
ALTER TABLE dumps ADD COLUMN image TEXT;
-- What the program said, and the name of the thread that crashed.
ALTER TABLE dumps ADD COLUMN message TEXT;
ALTER TABLE dumps ADD COLUMN thread TEXT;

DROP INDEX dumps_by_time;
DROP INDEX dumps_by_group;
DROP INDEX dumps_by_container;
CREATE INDEX dumps_by_time ON dumps (crashed_at_ms);
CREATE INDEX dumps_by_group ON dumps (group_id, crashed_at_ms);
CREATE INDEX dumps_by_container ON dumps (container, crashed_at_ms);
CREATE INDEX dumps_by_stack ON dumps (stack, crashed_at_ms);
CREATE INDEX dumps_by_modules ON dumps (modules, crashed_at_ms);
CREATE INDEX dumps_by_image ON dumps (image, crashed_at_ms);
CREATE INDEX dumps_by_host ON dumps (host, crashed_at_ms);
CREATE INDEX dumps_by_executable ON dumps (executable, crashed_at_ms);
CREATE INDEX dumps_by_signal ON dumps (signal, crashed_at_ms);
CREATE INDEX dumps_by_cause ON dumps (cause, crashed_at_ms);
DROP INDEX container_labels_by_label;
CREATE INDEX container_labels_by_label ON container_labels (label, value, container);

-- Words of what was known at death, and of what analysis said; rows are dumps.
CREATE VIRTUAL TABLE record_words USING fts5 (
  about, log, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 0'
);
CREATE VIRTUAL TABLE report_words USING fts5 (
  title, message, functions, files, content = '', contentless_delete = 1,
  tokenize = 'unicode61 remove_diacritics 0'
);

-- Values of crashes that have a group, and in how many of them each is.
CREATE TABLE facet_values (
  key     INTEGER PRIMARY KEY,
  facet   TEXT NOT NULL,
  value   TEXT NOT NULL,
  crashes INTEGER NOT NULL,
  UNIQUE (facet, value)
) STRICT;
CREATE INDEX facet_values_without_crashes ON facet_values (key) WHERE crashes <= 0;
-- The same within a group, and when the value was seen there.
CREATE TABLE group_facets (
  group_id      TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
  facet         TEXT NOT NULL,
  value         INTEGER NOT NULL REFERENCES facet_values (key),
  crashes       INTEGER NOT NULL,
  first_seen_ms INTEGER NOT NULL,
  last_seen_ms  INTEGER NOT NULL,
  PRIMARY KEY (group_id, facet, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_facets_by_host ON group_facets (group_id, value) WHERE facet = 'host';

-- Crashes per hour since the epoch, of each group and of all ('').
CREATE TABLE crash_hours (
  group_id TEXT NOT NULL,
  hour     INTEGER NOT NULL,
  crashes  INTEGER NOT NULL,
  PRIMARY KEY (group_id, hour)
) STRICT, WITHOUT ROWID;

-- Sums over all dumps; one row.
CREATE TABLE totals (
  key          INTEGER PRIMARY KEY CHECK (key = 1),
  dumps        INTEGER NOT NULL,
  pinned       INTEGER NOT NULL,
  failed       INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL
) STRICT;
INSERT INTO totals VALUES (1, 0, 0, 0, 0);
CREATE INDEX dumps_with_memory ON dumps (crashed_at_ms) WHERE memory_bytes > 0;

CREATE TRIGGER dump_inserted AFTER INSERT ON dumps BEGIN
  UPDATE totals SET dumps = dumps + 1, pinned = pinned + new.pinned,
    failed = failed + (new.status = 'failed'), stored_bytes = stored_bytes + new.stored_bytes;
  INSERT INTO crash_hours VALUES ('', new.crashed_at_ms / 3600000, 1)
    ON CONFLICT DO UPDATE SET crashes = crashes + 1;
END;
CREATE TRIGGER dump_deleted AFTER DELETE ON dumps BEGIN
  UPDATE totals SET dumps = dumps - 1, pinned = pinned - old.pinned,
    failed = failed - (old.status = 'failed'), stored_bytes = stored_bytes - old.stored_bytes;
  UPDATE crash_hours SET crashes = crashes - 1
    WHERE group_id = '' AND hour = old.crashed_at_ms / 3600000;
  DELETE FROM crash_hours
    WHERE group_id = '' AND hour = old.crashed_at_ms / 3600000 AND crashes <= 0;
  DELETE FROM record_words WHERE rowid = old.key;
  DELETE FROM report_words WHERE rowid = old.key;
END;
CREATE TRIGGER dump_changed AFTER UPDATE OF pinned, status, stored_bytes ON dumps BEGIN
  UPDATE totals SET pinned = pinned - old.pinned + new.pinned,
    failed = failed - (old.status = 'failed') + (new.status = 'failed'),
    stored_bytes = stored_bytes - old.stored_bytes + new.stored_bytes;
END;
CREATE TRIGGER dump_moved AFTER UPDATE OF group_id ON dumps
WHEN old.group_id IS NOT new.group_id BEGIN
  UPDATE crash_hours SET crashes = crashes - 1
    WHERE group_id = old.group_id AND hour = old.crashed_at_ms / 3600000;
  DELETE FROM crash_hours
    WHERE group_id = old.group_id AND hour = old.crashed_at_ms / 3600000 AND crashes <= 0;
  INSERT INTO crash_hours SELECT new.group_id, new.crashed_at_ms / 3600000, 1
    WHERE new.group_id IS NOT NULL
    ON CONFLICT DO UPDATE SET crashes = crashes + 1;
END;
