-- Queued or waiting → cancelled: into history. A job that is claimed at this very moment is running once its lock is
-- free, and is left alone: see request_cancel.sql.
WITH gone AS (
    DELETE FROM pgjobs.jobs AS live
    WHERE live.id = ANY (%(ids)s::bigint[]) AND live.status IN ('queued', 'waiting')
    RETURNING live.id, live.dependents, live AS job
), kept AS (
    INSERT INTO pgjobs.jobs_history
    SELECT h.* FROM gone CROSS JOIN LATERAL pgjobs.ended(gone.job, 'cancelled', %(reason)s::text) AS h
)
SELECT id, dependents AS awaited
FROM gone
