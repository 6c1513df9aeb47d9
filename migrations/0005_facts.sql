-- What else tells crashes apart: whose machine and kernel it was, which user's process, and how
-- far a container's identity can be relied on. Rows of older crashes keep NULL.
ALTER TABLE dumps ADD COLUMN uid INTEGER;
ALTER TABLE dumps ADD COLUMN machine TEXT;
ALTER TABLE dumps ADD COLUMN boot TEXT;
ALTER TABLE dumps ADD COLUMN kernel TEXT;
ALTER TABLE dumps ADD COLUMN arch TEXT;
ALTER TABLE dumps ADD COLUMN cpu TEXT;
ALTER TABLE containers ADD COLUMN hostname TEXT;
ALTER TABLE containers ADD COLUMN confidence TEXT;
