-- Dumps, what they ran in, what they have in common, and the work to be done on them.

-- A container as one crash saw it. Immutable and named by its content (`digest`), so that a
-- thousand crashes of one container share a row, and a renamed container gets a new one.
CREATE TABLE containers (
  key          INTEGER PRIMARY KEY,
  digest       TEXT NOT NULL UNIQUE,
  runtime      TEXT NOT NULL,
  container_id TEXT NOT NULL,
  name         TEXT,
  image        TEXT,
  image_id     TEXT,
  pod_uid      TEXT
) STRICT;
CREATE INDEX containers_by_id ON containers (container_id);
CREATE INDEX containers_by_name ON containers (name);
CREATE INDEX containers_by_image ON containers (image);

CREATE TABLE container_labels (
  container INTEGER NOT NULL REFERENCES containers (key) ON DELETE CASCADE,
  label     TEXT NOT NULL,
  value     TEXT NOT NULL,
  PRIMARY KEY (container, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX container_labels_by_label ON container_labels (label);

-- Crashes with the same signature. Counts are kept by the transactions that assign and remove.
CREATE TABLE groups (
  id                TEXT PRIMARY KEY,
  hash              TEXT NOT NULL UNIQUE,
  signature_version INTEGER NOT NULL,
  signature_kind    TEXT NOT NULL,
  title             TEXT NOT NULL,
  crashes           INTEGER NOT NULL,
  first_seen_ms     INTEGER NOT NULL,
  last_seen_ms      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX groups_by_last_seen ON groups (last_seen_ms, id);

-- How often a group was seen per image, container, host and executable.
CREATE TABLE group_facets (
  group_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
  facet    TEXT NOT NULL,
  value    TEXT NOT NULL,
  crashes  INTEGER NOT NULL,
  PRIMARY KEY (group_id, facet, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_facets_by_count ON group_facets (group_id, facet, crashes DESC, value);

CREATE TABLE dumps (
  key            INTEGER PRIMARY KEY,
  id             TEXT NOT NULL UNIQUE,
  crashed_at_ms  INTEGER NOT NULL,
  host           TEXT NOT NULL,
  signal         TEXT NOT NULL,
  signal_number  INTEGER NOT NULL,
  pid            INTEGER NOT NULL,
  name           TEXT NOT NULL,
  executable     TEXT,
  command        TEXT NOT NULL,
  container      INTEGER REFERENCES containers (key),
  unit           TEXT,
  status         TEXT NOT NULL,
  kept           TEXT NOT NULL,
  truncated      INTEGER NOT NULL,
  core_bytes     INTEGER NOT NULL,
  stored_bytes   INTEGER NOT NULL,
  hold_us        INTEGER,
  group_id       TEXT REFERENCES groups (id),
  title          TEXT,
  cause          TEXT,
  location       TEXT,
  analysis_error TEXT
) STRICT;
CREATE INDEX dumps_by_time ON dumps (crashed_at_ms, id);
CREATE INDEX dumps_by_group ON dumps (group_id, crashed_at_ms, id);
CREATE INDEX dumps_by_container ON dumps (container);
CREATE INDEX dumps_by_unfinished_status ON dumps (status) WHERE status <> 'analyzed';

-- The functions on the crashed thread's stack, each name stored once.
CREATE TABLE functions (
  key  INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE dump_functions (
  dump     INTEGER NOT NULL REFERENCES dumps (key) ON DELETE CASCADE,
  function INTEGER NOT NULL REFERENCES functions (key),
  PRIMARY KEY (dump, function)
) STRICT, WITHOUT ROWID;
CREATE INDEX dump_functions_by_function ON dump_functions (function, dump);

-- Mapped ELF files by content, and which dumps need them.
CREATE TABLE modules (
  key      INTEGER PRIMARY KEY,
  sha256   TEXT NOT NULL UNIQUE,
  build_id TEXT,
  bytes    INTEGER NOT NULL
) STRICT;
CREATE INDEX modules_by_build_id ON modules (build_id);
CREATE TABLE dump_modules (
  dump   INTEGER NOT NULL REFERENCES dumps (key) ON DELETE CASCADE,
  module INTEGER NOT NULL REFERENCES modules (key),
  PRIMARY KEY (dump, module)
) STRICT, WITHOUT ROWID;
CREATE INDEX dump_modules_by_module ON dump_modules (module, dump);

-- Analyses to be done. A row is leased while a worker is on it: `locked_until_ms` lies in the
-- future. A daemon that dies leaves the lease behind; the next one clears it.
CREATE TABLE jobs (
  dump            INTEGER PRIMARY KEY REFERENCES dumps (key) ON DELETE CASCADE,
  queued_at_ms    INTEGER NOT NULL,
  attempts        INTEGER NOT NULL DEFAULT 0,
  locked_until_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_by_age ON jobs (queued_at_ms);

-- What happened, for those who follow; the oldest are forgotten.
CREATE TABLE events (
  sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms     INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  dump_id   TEXT NOT NULL,
  group_id  TEXT,
  new_group INTEGER NOT NULL DEFAULT 0
) STRICT;
