-- What scripts found out about dumps, and whose scripts. Computed; `aground rules run` makes it again.
CREATE TABLE dump_properties (
  dump   INTEGER NOT NULL REFERENCES dumps (key) ON DELETE CASCADE,
  key    TEXT NOT NULL,
  value  TEXT NOT NULL,
  script TEXT NOT NULL,
  PRIMARY KEY (dump, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX dump_properties_by_value ON dump_properties (key, value);
