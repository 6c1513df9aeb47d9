-- What the last analysis was given stays known, so that the next one is given it too.
ALTER TABLE wanted_symbols ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
