-- The groups of a value. Without it each value that goes with its last crash has the database look
-- for it in every count of every group.
CREATE INDEX group_facets_by_value ON group_facets (value, group_id);
