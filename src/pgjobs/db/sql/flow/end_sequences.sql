-- A job has failed for good and ends its sequence: the jobs that waited in it then are cancelled. %(letters)s: the dead
-- letters whose sequences are to end, or NULL: all that have one to end still. A row that another transaction has
-- locked stays, and with it the mark in the letter, which keeps the sequence from going on.
WITH letters AS MATERIALIZED (
    SELECT d.id, d.sequence, d.died_at
    FROM pgjobs.dead_jobs AS d
    WHERE d.ends_sequence AND (%(letters)s::bigint[] IS NULL OR d.id = ANY (%(letters)s::bigint[]))
    ORDER BY d.id
    LIMIT 1000
    FOR NO KEY UPDATE SKIP LOCKED
), waiting AS MATERIALIZED (
    SELECT w.id, l.id AS letter
    FROM letters AS l
    JOIN pgjobs.jobs_waiting AS w ON w.sequence = l.sequence AND w.enqueued_at <= l.died_at
), free AS MATERIALIZED (
    SELECT w.id
    FROM pgjobs.jobs_waiting AS w
    WHERE w.id = ANY (ARRAY (SELECT id FROM waiting))
    ORDER BY w.id
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM pgjobs.jobs_waiting AS w
    USING (SELECT id, min(letter) AS letter FROM waiting GROUP BY id) AS e
    WHERE w.id = e.id AND (e.id IN (SELECT id FROM free)) IS TRUE
    RETURNING w.*,
              format('cancelled: its sequence ended when job %%s failed', e.letter) AS reason
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, errors, error, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, errors, reason, 'cancelled', now()
    FROM gone
    RETURNING 1
), ended AS (
    UPDATE pgjobs.dead_jobs AS d
    SET ends_sequence = NULL
    FROM letters AS l
    WHERE d.id = l.id
      AND (l.id IN (SELECT w.letter FROM waiting AS w WHERE w.id NOT IN (SELECT id FROM free))) IS NOT TRUE
)
SELECT id, dependents AS awaited, false AS postponed, false AS is_skipped,
       held IS DISTINCT FROM 'needs' AS was_active
FROM gone
WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM kept))
UNION ALL
SELECT id, NULL::boolean, true, false, NULL::boolean FROM waiting WHERE id NOT IN (SELECT id FROM free)
