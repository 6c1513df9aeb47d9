-- Groups whose crashes are sent along the merges and splits as they are now, and how far that is.
CREATE TABLE reroutes (
  group_id TEXT PRIMARY KEY,
  at_ms    INTEGER NOT NULL,           -- crashes up to this one have been looked at
  dump     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
