-- Count the jobs of a queue that ran before it had a limit, or before this worker knew of it. Reads all live jobs of
-- the queue, so it is run when a worker meets the limit, and not with each claim.
UPDATE pgjobs.jobs_live AS live
SET counted_queue = %(queue)s
WHERE live.ctid = ANY (ARRAY (
    SELECT j.ctid FROM pgjobs.jobs_live AS j
    WHERE j.queue = %(queue)s AND j.queue <> '' AND j.status = 'running' AND j.counted_queue IS NULL
    FOR NO KEY UPDATE SKIP LOCKED
))
