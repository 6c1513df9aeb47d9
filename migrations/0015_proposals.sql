-- Pairs of groups that may be one bug, for people to decide about.

-- Whether a signature was compared with those before it.
ALTER TABLE signatures ADD COLUMN compared INTEGER NOT NULL DEFAULT FALSE;
CREATE INDEX signatures_to_compare ON signatures (key) WHERE NOT compared;

CREATE TABLE proposals (
  one         TEXT NOT NULL,           -- the group whose id comes first, before merges and splits
  other       TEXT NOT NULL,
  likeness    REAL NOT NULL,           -- of the two signatures that are most alike
  shared      TEXT NOT NULL,           -- functions that both have, from the top
  found_at_ms INTEGER NOT NULL,
  PRIMARY KEY (one, other)
) STRICT, WITHOUT ROWID;
CREATE INDEX proposals_by_other ON proposals (other);
CREATE INDEX proposals_by_likeness ON proposals (likeness);

-- Pairs that somebody said are two bugs.
CREATE TABLE group_distinct (
  group_id TEXT NOT NULL,
  other    TEXT NOT NULL,
  PRIMARY KEY (group_id, other)
) STRICT, WITHOUT ROWID;
