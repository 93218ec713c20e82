-- Acknowledge: running → completed, for jobs whose results are kept, whether they had to wait for their turn or not; as
-- complete_with_flow.sql does for jobs that no others wait for. Their results are written by the same statement, for
-- those alone that this worker still owned. `keep`: in history; else their rows are deleted. CASE: see complete.sql.
WITH given AS MATERIALIZED (
    SELECT a.id, a.claims, a.seconds, a.is_json, a.signature, a.value
    FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[], %(seconds)s::float8[], %(is_json)s::boolean[],
                %(signatures)s::bytea[], %(results)s::bytea[])
         AS a (id, claims, seconds, is_json, signature, value)
), done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[])
      AND live.status = 'running' AND live.worker_id = %(worker_id)s AND live.dependents IS NULL
      AND CASE WHEN (live.id, live.claims) IN (
              SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims)
          ) THEN true END
    RETURNING {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, 'completed', now()
    FROM done
    WHERE %(keep)s::boolean
    RETURNING 1
), results AS (
    INSERT INTO pgjobs.results (job_id, kept_until, is_json, signature, value)
    SELECT g.id, now() + g.seconds * interval '1 second', g.is_json, g.signature, g.value
    FROM given AS g
    WHERE CASE WHEN g.id IN (SELECT id FROM done) THEN true END
    RETURNING 1
)
SELECT id
FROM done
WHERE pgjobs.all_kept((SELECT count(*) FROM done), (SELECT count(*) FROM results))
  AND (NOT %(keep)s::boolean OR pgjobs.all_kept((SELECT count(*) FROM done), (SELECT count(*) FROM kept)))
