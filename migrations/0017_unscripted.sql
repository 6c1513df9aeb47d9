-- Dumps whose rows were made again from their files, which do not say what scripts found: scripts
-- and rules go over them in the background.
CREATE TABLE unscripted (
  dump INTEGER PRIMARY KEY REFERENCES dumps (key) ON DELETE CASCADE
) STRICT;
