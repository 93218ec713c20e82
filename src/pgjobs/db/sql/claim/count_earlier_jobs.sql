-- Count the jobs of a queue that ran before it had a limit, or before this worker knew of it, and return how many of
-- them could not be marked so, because other transactions have locked them. Reads all live jobs of the queue, so it is
-- run when a worker meets the limit, and not with each claim. Items of pipelines count for the queue from then on.
WITH earlier AS MATERIALIZED (
    SELECT j.ctid
    FROM pgjobs.jobs_live AS j
    WHERE j.queue = %(queue)s AND j.queue <> '' AND j.status = 'running'
      AND (j.counted_queue IS NULL OR starts_with(j.counted_queue, E'\x1f'))
), free AS MATERIALIZED (
    SELECT j.ctid
    FROM pgjobs.jobs_live AS j
    WHERE j.ctid = ANY (ARRAY (SELECT ctid FROM earlier)) AND j.status = 'running'
    FOR NO KEY UPDATE SKIP LOCKED
), marked AS (
    UPDATE pgjobs.jobs_live AS live
    SET counted_queue = %(queue)s
    WHERE live.ctid = ANY (ARRAY (SELECT ctid FROM free))
    RETURNING 1
)
SELECT (SELECT count(*) FROM earlier) - (SELECT count(*) FROM marked)
