-- What people are to be told of, and how it went with each target. A row of notices is written with
-- the change that it tells of, so that neither is without the other.
CREATE TABLE notices (
  key      INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms    INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  group_id TEXT,
  dump_id  TEXT,
  why      TEXT,                        -- a sentence
  body     TEXT                         -- JSON, once it is composed for all targets
) STRICT;
CREATE INDEX notices_by_group ON notices (group_id, kind, at_ms);
CREATE INDEX notices_not_composed ON notices (key) WHERE body IS NULL;

CREATE TABLE deliveries (
  notice   INTEGER NOT NULL REFERENCES notices (key) ON DELETE CASCADE,
  target   TEXT NOT NULL,               -- its name in the configuration
  state    TEXT NOT NULL,               -- waiting, delivered, failed
  due_ms   INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  outcome  TEXT,                        -- what came of the last attempt
  at_ms    INTEGER,                     -- when that was
  PRIMARY KEY (notice, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (target, due_ms) WHERE state = 'waiting';
CREATE INDEX deliveries_by_target ON deliveries (target, state);

-- What lasts: loops and storage trouble that people were told of, until they are told of the end.
CREATE TABLE conditions (
  what     TEXT PRIMARY KEY,
  since_ms INTEGER NOT NULL,
  detail   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
