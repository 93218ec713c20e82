-- Acknowledge: running → completed, for a whole flush. The rows move from the live partition into history.
-- Worker and claim are the fence: a worker that was considered dead cannot overwrite what came after.
--
-- One index scan finds all ids; the claims are then looked up in a hash table (CASE keeps the planner from turning that
-- into a join, which would descend the index once for each id). No ids are returned: see not_completed.sql.
-- Jobs that others wait for, and jobs that had to wait for their turn, are left to complete_with_flow.sql: only the
-- columns that a plain job uses are moved here.
--
-- The answer is how many were moved, counted by those that arrived. Where they are fewer than were given, those that
-- left are counted too: see the function all_kept, which many of these statements ask.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[])
      AND live.status = 'running' AND live.worker_id = %(worker_id)s AND live.dependents IS NULL
      AND CASE WHEN (live.id, live.claims) IN (
              SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims)
          ) THEN true END
    RETURNING {kept_columns}, {attempt_columns}, error, error_kind, errors
), kept AS (
    INSERT INTO pgjobs.jobs_history ({kept_columns}, {attempt_columns}, error, error_kind, errors, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, error, error_kind, errors, 'completed', now()
    FROM done
    RETURNING 1
)
SELECT k.jobs
FROM (SELECT count(*) AS jobs FROM kept) AS k
WHERE k.jobs = cardinality(%(ids)s::bigint[]) OR pgjobs.all_kept((SELECT count(*) FROM done), k.jobs)
