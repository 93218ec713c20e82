-- Waiting jobs of a queue that have expired → cancelled, before any job of it is claimed: an expired job must not use
-- up the tokens and slots of others.
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
    RETURNING w.*
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, errors, error, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, errors, %(reason)s::text, 'cancelled', now()
    FROM gone
    RETURNING 1
)
SELECT id, dependents AS awaited, false AS ends_sequence, false AS is_skipped,
       held IS DISTINCT FROM 'needs' AS was_active
FROM gone
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM kept))
