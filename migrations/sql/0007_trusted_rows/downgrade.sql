ALTER TABLE pgjobs.dependencies DROP COLUMN in_doubt;
