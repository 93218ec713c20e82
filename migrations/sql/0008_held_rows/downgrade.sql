DROP FUNCTION pgjobs.head_of_sequence;

ALTER TABLE pgjobs.dead_jobs DROP COLUMN ends_sequence;
