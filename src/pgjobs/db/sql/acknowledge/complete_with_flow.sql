-- Acknowledge: running → completed, for jobs that complete.sql leaves: those that other jobs wait for (`awaited`), and
-- those that had to wait for their turn. Dependents of the former are released by release_dependents.sql in the same
-- transaction.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[])
      AND live.status = 'running' AND live.worker_id = %(worker_id)s
      AND (live.dependents IS TRUE) = %(awaited)s::boolean
      AND CASE WHEN (live.id, live.claims) IN (
              SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[]) AS a (id, claims)
          ) THEN true END
    RETURNING {kept_columns}, {attempt_columns},
              {flow_columns}, error, error_kind, errors
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, 'completed', now()
    FROM done
    RETURNING 1
)
SELECT id
FROM done
WHERE pgjobs.all_kept((SELECT count(*) FROM done), (SELECT count(*) FROM kept))
