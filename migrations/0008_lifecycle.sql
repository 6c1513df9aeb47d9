-- What people, rules and the daemon itself decided about groups. The file changes.jsonl in the state
-- directory holds the same changes, so that none is lost with the database.
CREATE TABLE group_changes (
  sequence INTEGER PRIMARY KEY,
  at_ms    INTEGER NOT NULL,
  actor    TEXT NOT NULL,              -- JSON: who
  group_id TEXT NOT NULL,              -- the group as it was called then
  change   TEXT NOT NULL,              -- JSON: what
  undone   INTEGER NOT NULL DEFAULT 0  -- whether a later change took it back
) STRICT;
CREATE INDEX group_changes_by_group ON group_changes (group_id, sequence);

-- What the changes of a group come to: computed from them. A group without a row is open. Rows
-- outlive the dumps of their group, so that what comes back is known again.
CREATE TABLE group_lives (
  group_id          TEXT PRIMARY KEY,
  state             TEXT NOT NULL,     -- open, resolved, ignored or regressed
  since_ms          INTEGER NOT NULL,  -- when it became that
  by_change         INTEGER NOT NULL,  -- by which change; 0: none yet
  merged_into       TEXT,              -- the group that its crashes belong to now
  owner             TEXT,
  ignored_until_ms  INTEGER,
  ignored_more      INTEGER,           -- crashes that end it
  ignored_seen      INTEGER NOT NULL DEFAULT 0,
  hash              TEXT NOT NULL,
  signature_version INTEGER NOT NULL,
  signature_kind    TEXT NOT NULL,
  title             TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX group_lives_by_target ON group_lives (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX group_lives_by_end ON group_lives (ignored_until_ms) WHERE ignored_until_ms IS NOT NULL;
CREATE INDEX group_lives_by_owner ON group_lives (owner) WHERE owner IS NOT NULL;

CREATE TABLE group_tags (
  group_id TEXT NOT NULL,
  tag      TEXT NOT NULL,
  PRIMARY KEY (group_id, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_tags_by_tag ON group_tags (tag, group_id);
CREATE TABLE group_tickets (
  group_id TEXT NOT NULL,
  ticket   TEXT NOT NULL,
  PRIMARY KEY (group_id, ticket)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_tickets_by_ticket ON group_tickets (ticket, group_id);
-- Notes, theories and their evidence, to be searched.
CREATE TABLE group_notes (
  group_id TEXT NOT NULL,
  change   INTEGER NOT NULL,
  text     TEXT NOT NULL,
  PRIMARY KEY (group_id, change)
) STRICT, WITHOUT ROWID;

-- Merges and splits in force. A crash goes from its home along them, in order.
CREATE TABLE group_edges (
  sequence   INTEGER PRIMARY KEY,      -- of the change
  from_group TEXT NOT NULL,
  into_group TEXT NOT NULL,
  split      TEXT                      -- JSON: which crashes; NULL: all of them
) STRICT;
CREATE INDEX group_edges_by_from ON group_edges (from_group, sequence);
CREATE INDEX group_edges_by_into ON group_edges (into_group);

-- The head of a dump's own signature, and the group that it names before merges and splits.
ALTER TABLE dumps ADD COLUMN signature TEXT;
ALTER TABLE dumps ADD COLUMN home TEXT;
UPDATE dumps SET signature = group_id, home = group_id;
CREATE INDEX dumps_by_home ON dumps (home) WHERE home IS NOT NULL;

-- A copy of the state, for lists.
ALTER TABLE groups ADD COLUMN state TEXT NOT NULL DEFAULT 'open';
CREATE INDEX groups_by_state ON groups (state, last_seen_ms, id);

-- Builds of images in the order in which crashes showed them, for "resolved in this image or later".
CREATE TABLE images (
  reference     TEXT NOT NULL,
  build         TEXT NOT NULL,         -- digest in its registry, else the image's id; empty: not known
  first_seen_ms INTEGER NOT NULL,
  PRIMARY KEY (reference, build)
) STRICT, WITHOUT ROWID;
INSERT INTO images
  SELECT c.image, coalesce((SELECT substr(i.digest, instr(i.digest, '@') + 1) FROM container_digests i
      WHERE i.container = c.key ORDER BY i.digest LIMIT 1), c.image_id, ''), min(d.crashed_at_ms)
  FROM dumps d JOIN containers c ON c.key = d.container
  WHERE c.image IS NOT NULL GROUP BY 1, 2;
