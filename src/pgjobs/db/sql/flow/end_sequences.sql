-- A job of each of these sequences has failed for good and ends its sequence: the jobs that wait in it are cancelled.
WITH gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w
    USING unnest(%(sequences)s::text[], %(ids)s::bigint[]) AS e (sequence, id)
    WHERE w.sequence = e.sequence
    RETURNING w.*,
              format('cancelled: its sequence ended when job %%s failed', e.id) AS reason
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, errors, error, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, errors, reason, 'cancelled', now()
    FROM gone
    RETURNING 1
)
SELECT id, dependents AS awaited
FROM gone
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM kept))
