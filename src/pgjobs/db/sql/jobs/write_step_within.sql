-- Remember what a step of a job has returned, in the transaction in which the step was done. Where another attempt has
-- done it, or the job belongs to another one, this transaction cannot be committed: so there is no ON CONFLICT, and the
-- claim is the fence, as in complete_within.sql. An attempt that does it at the same moment waits for this one.
WITH mine AS (
    SELECT live.id
    FROM pgjobs.jobs_live AS live
    WHERE live.id = CAST(%(id)s AS bigint) AND live.status = 'running' AND live.claims = CAST(%(claim_number)s AS int)
), done AS (
    INSERT INTO pgjobs.job_steps (job_id, key, value, signature)
    SELECT mine.id, CAST(%(key)s AS text), CAST(%(value)s AS bytea), CAST(%(signature)s AS bytea)
    FROM mine
    RETURNING 1
)
SELECT 1
WHERE pgjobs.refuse_stale_claim((SELECT count(*) FROM done))
