-- Signatures go with the last crash that has them, and so do their functions and classes.
CREATE INDEX dumps_by_signature ON dumps (signature) WHERE signature IS NOT NULL;
CREATE INDEX signatures_by_class ON signatures (class);
