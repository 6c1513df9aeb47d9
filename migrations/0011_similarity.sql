-- Signatures that crashes have, the group that each names, and the way from a frame to them.

-- Functions, places in modules, and classes of causes, each stored once.
CREATE TABLE terms (
  key   INTEGER PRIMARY KEY,
  text  TEXT NOT NULL UNIQUE,
  homes INTEGER NOT NULL DEFAULT 0     -- groups that have the frame
) STRICT;

CREATE TABLE signatures (
  key      INTEGER PRIMARY KEY,
  id       TEXT NOT NULL UNIQUE,       -- head of the hash, as in dumps.signature
  revision TEXT NOT NULL,              -- version of the algorithm, and of the service's own rules
  kind     TEXT NOT NULL,              -- symbolic, offsets, facts or label
  class    INTEGER NOT NULL REFERENCES terms (key),
  home     TEXT NOT NULL,              -- the group, before merges and splits
  founds   INTEGER NOT NULL,           -- whether the group follows it when it is signed anew
  title    TEXT NOT NULL,
  stack    TEXT NOT NULL               -- numbers of the frames that count; negative: never decides alone
) STRICT;
CREATE INDEX signatures_by_home ON signatures (home, key);

-- Only the frames on top: no signature is similar enough without one of them.
CREATE TABLE signature_frames (
  class     INTEGER NOT NULL,
  frame     INTEGER NOT NULL,
  position  INTEGER NOT NULL,
  signature INTEGER NOT NULL REFERENCES signatures (key) ON DELETE CASCADE,
  PRIMARY KEY (class, frame, position, signature)
) STRICT, WITHOUT ROWID;
CREATE INDEX signature_frames_by_signature ON signature_frames (signature);

-- How many signatures of a group have a frame.
CREATE TABLE home_frames (
  frame      INTEGER NOT NULL,
  home       TEXT NOT NULL,
  signatures INTEGER NOT NULL,
  PRIMARY KEY (frame, home)
) STRICT, WITHOUT ROWID;

-- What crashes have had until now; they are signed anew, and keep their groups.
INSERT INTO terms (text) VALUES ('');
INSERT INTO signatures (id, revision, kind, class, home, founds, title, stack)
  SELECT d.signature, '1', coalesce(g.signature_kind, 'facts'), t.key, d.home, TRUE, coalesce(g.title, ''), ''
  FROM (SELECT DISTINCT signature, home FROM dumps WHERE signature IS NOT NULL AND home IS NOT NULL) d
  JOIN terms t ON t.text = '' LEFT JOIN groups g ON g.id = d.home;

-- Groups whose last crash went to another when it was signed anew: their ids still name something.
CREATE TABLE group_forwards (
  old_id TEXT PRIMARY KEY,
  new_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX group_forwards_by_target ON group_forwards (new_id);
