DROP FUNCTION pgjobs.head_of_sequence, pgjobs.blocking_letters;

ALTER TABLE pgjobs.dead_jobs DROP COLUMN ends_sequence;
