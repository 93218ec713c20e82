-- Queued or waiting → cancelled: into history. A job that is claimed at this very moment is running once its lock is
-- free, and is left alone: see request_cancel.sql.
WITH gone AS (
    DELETE FROM pgjobs.jobs AS live
    WHERE live.id = ANY (%(ids)s::bigint[]) AND live.status IN ('queued', 'waiting')
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
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM kept))
