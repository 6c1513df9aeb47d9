-- Files of watched directories that were looked at, so that each is imported once, also when its
-- dump has been removed since. A file that changes is another.
CREATE TABLE imports (
  path        TEXT NOT NULL PRIMARY KEY,
  size        INTEGER NOT NULL,
  modified_ns INTEGER NOT NULL,
  dump        TEXT,             -- its id; NULL when it was none
  error       TEXT,             -- why it was none
  at_ms       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
