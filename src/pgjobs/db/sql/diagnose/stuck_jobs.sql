-- Jobs that wait for one that has failed, was cancelled or no longer exists, where only its success counts: none of
-- them starts by itself. `state`: dead (its dead letter can be replayed), failed (it has none any
-- more), cancelled or gone.
--
-- Looks at the first %(scan)s dependencies. Most of them wait for a job that is live, and history is searched for the
-- others alone, day by day. `needs`: only those that wait for these (NULL: for any); `queues`: only in these (NULL: in
-- all). One that is in doubt may have completed.
WITH lost AS MATERIALIZED (
    SELECT d.job_id, w.queue, d.needs_id, d.on_failure
    FROM (SELECT needs_id, job_id, on_failure
          FROM pgjobs.dependencies
          WHERE (%(needs)s::bigint[] IS NULL OR needs_id = ANY (%(needs)s::bigint[]))
            AND in_doubt IS NULL
          LIMIT %(scan)s) AS d
    CROSS JOIN LATERAL (SELECT waiting.queue FROM pgjobs.jobs_waiting AS waiting
                        WHERE waiting.id = d.job_id AND waiting.held = 'needs'
                          AND (%(queues)s::text[] IS NULL OR waiting.queue = ANY (%(queues)s::text[]))) AS w
    WHERE NOT EXISTS (SELECT FROM pgjobs.jobs_live AS live WHERE live.id = d.needs_id)
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS live WHERE live.id = d.needs_id)
), ended AS MATERIALIZED (
    SELECT e.id, e.status FROM pgjobs.find_ended(ARRAY (SELECT DISTINCT needs_id FROM lost)) AS e
)
SELECT d.job_id, d.queue, d.needs_id,
       CASE WHEN EXISTS (SELECT FROM pgjobs.dead_jobs AS x WHERE x.id = d.needs_id) THEN 'dead'
            ELSE coalesce(ended.status, 'gone') END AS state
FROM lost AS d
LEFT JOIN ended ON ended.id = d.needs_id
WHERE (ended.status IS NULL OR (ended.status IN ('failed', 'cancelled') AND d.on_failure = 'wait'))
ORDER BY d.job_id, d.needs_id
LIMIT %(most)s
