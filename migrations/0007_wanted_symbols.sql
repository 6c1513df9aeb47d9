-- Files of symbols that would name a dump's frames better, by what identifies them, and the module
-- that lacks them. Computed from the report.
CREATE TABLE wanted_symbols (
  dump   INTEGER NOT NULL REFERENCES dumps (key) ON DELETE CASCADE,
  file   TEXT NOT NULL,
  module TEXT NOT NULL,
  PRIMARY KEY (dump, file)
) STRICT, WITHOUT ROWID;
CREATE INDEX wanted_symbols_by_file ON wanted_symbols (file);

-- What servers were asked for, and until when they are not asked again.
CREATE TABLE symbol_requests (
  file     TEXT PRIMARY KEY,
  at_ms    INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  outcome  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
