ALTER TABLE pgjobs.progress DROP COLUMN waits_for, DROP COLUMN waits_claim;
