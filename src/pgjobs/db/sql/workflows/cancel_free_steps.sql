-- Queued or waiting → cancelled: steps of a workflow that was cancelled. Those that another transaction has locked are
-- left for the next look: it must not wait for an application.
WITH locked AS MATERIALIZED (
    SELECT j.id FROM pgjobs.jobs AS j
    WHERE j.id = ANY (%(ids)s::bigint[]) AND j.status IN ('queued', 'waiting')
    ORDER BY j.id FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM pgjobs.jobs AS live
    WHERE live.id = ANY (ARRAY (SELECT id FROM locked)) AND live.status IN ('queued', 'waiting')
    RETURNING live.*
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, errors, error, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, errors, %(reason)s::text, 'cancelled', now()
    FROM gone
    RETURNING 1
)
SELECT id, dependents AS awaited, held IS DISTINCT FROM 'needs' AS was_active
FROM gone
WHERE pgjobs.all_kept((SELECT count(*) FROM locked), (SELECT count(*) FROM kept))
