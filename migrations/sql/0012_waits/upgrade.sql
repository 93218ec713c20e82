-- For which jobs a running job waits, and under which claim: by its own word, once a wait has lasted for a second. What
-- another claim has left says nothing.
ALTER TABLE pgjobs.progress ADD COLUMN waits_for bigint[], ADD COLUMN waits_claim integer;

CREATE INDEX progress_waits ON pgjobs.progress (job_id) WHERE waits_for IS NOT NULL;
