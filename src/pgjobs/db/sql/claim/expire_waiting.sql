-- Waiting jobs of a queue that have expired → cancelled, before any job of it is claimed: an expired job must not use up
-- the tokens and slots of others.
WITH gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w
    WHERE w.ctid = ANY (ARRAY (
        SELECT e.ctid
        FROM pgjobs.jobs_waiting AS e
        WHERE e.queue = %(queue)s AND e.expires_at IS NOT NULL AND e.expires_at <= now()
        ORDER BY e.expires_at
        LIMIT 500
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING w.id, w.dependents, w::pgjobs.jobs AS job
), kept AS (
    INSERT INTO pgjobs.jobs_history
    SELECT h.* FROM gone CROSS JOIN LATERAL pgjobs.ended(gone.job, 'cancelled', %(reason)s::text) AS h
)
SELECT id, dependents AS awaited FROM gone
