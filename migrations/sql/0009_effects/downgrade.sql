DROP TABLE pgjobs.progress, pgjobs.job_steps;

DROP FUNCTION pgjobs.refuse_stale_claim;
