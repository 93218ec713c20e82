-- Queued again → waiting, for jobs that have to wait for their turn: after retry, snooze and hand_back, in the same
-- transaction.
WITH gone AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[]) AND live.status = 'queued' AND live.lane IS NOT NULL
    RETURNING live.*
), kept AS (
    INSERT INTO pgjobs.jobs_waiting (
        {kept_columns}, {flow_columns}, run_at, claims, attempt, max_attempts, prior_attempts, isolate, error,
        error_kind, errors, expires_at, dependents, status, held)
    SELECT {kept_columns}, {flow_columns}, run_at, claims, attempt, max_attempts, prior_attempts, isolate, error,
           error_kind, errors, expires_at, dependents, 'waiting', CASE WHEN run_at > now() THEN 'later' END
    FROM gone
    RETURNING 1
)
SELECT id
FROM gone
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM kept))
