-- How the steps of workflows are, from the steps themselves: what was counted may be wrong, after a worker of another
-- version or changes by hand. `lost`: ended, and that is not written down. `counted`: what workflow_counts says at the
-- same moment. Both change in the same transactions: so the difference stays right, whatever is counted meanwhile.
-- `calls`: whether something is to be enqueued at its end.
WITH steps AS MATERIALIZED (
    SELECT s.workflow_id, s.job_id, s.status,
           s.status IS NULL AND (EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = s.job_id)
                                 OR EXISTS (SELECT FROM pgjobs.jobs_waiting AS j
                                            WHERE j.id = s.job_id AND j.held IS DISTINCT FROM 'needs')) AS is_active,
           s.status IS NULL AND EXISTS (SELECT FROM pgjobs.jobs_waiting AS j
                                        WHERE j.id = s.job_id AND j.held = 'needs') AS is_held
    FROM pgjobs.workflow_steps AS s
    WHERE s.workflow_id = ANY (%(workflows)s::bigint[]) AND (s.kind IS NULL OR s.kind = 'map')
    UNION ALL
    SELECT id, NULL, NULL, NULL, NULL FROM unnest(%(workflows)s::bigint[]) AS without_steps (id)
)
SELECT s.workflow_id AS id, count(s.job_id) AS steps, count(*) FILTER (WHERE is_active) AS active,
       count(*) FILTER (WHERE is_held) AS held, count(*) FILTER (WHERE status = 'completed') AS completed,
       count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
       count(*) FILTER (WHERE status = 'skipped') AS skipped,
       coalesce(array_agg(job_id) FILTER (WHERE status IS NULL AND NOT is_active AND NOT is_held), '{}') AS lost,
       (SELECT ARRAY[coalesce(sum(c.steps), 0), coalesce(sum(c.active), 0), 0, coalesce(sum(c.completed), 0),
                     coalesce(sum(c.failed), 0), coalesce(sum(c.cancelled), 0), coalesce(sum(c.skipped), 0)]::bigint[]
        FROM pgjobs.workflow_counts AS c
        WHERE c.workflow_id = s.workflow_id) AS counted,
       EXISTS (SELECT FROM pgjobs.workflow_callbacks AS c WHERE c.workflow_id = s.workflow_id) AS calls
FROM steps AS s
GROUP BY s.workflow_id
