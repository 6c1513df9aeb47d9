-- Whether the analysis that is under way is to be followed by another: something it needs has come
-- since it began. Taking the job up clears it.
ALTER TABLE jobs ADD COLUMN again INTEGER NOT NULL DEFAULT 0;
