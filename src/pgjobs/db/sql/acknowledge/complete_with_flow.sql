-- Acknowledge: running → completed, for jobs that complete.sql leaves: those that other jobs wait for (`awaited`), and
-- those that had to wait for their turn. Dependents of the former are released by release_dependents.sql in the same
-- transaction.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (%(ids)s::bigint[])
      AND live.status = 'running' AND live.worker_id = %(worker_id)s
      AND (live.dependents IS TRUE) = %(awaited)s::boolean
      AND CASE WHEN (live.id, live.claims) IN (
              SELECT a.id, a.claims FROM unnest(%(ids)s::bigint[], %(claims)s::int[]) AS a (id, claims)
          ) THEN true END
    RETURNING live::pgjobs.jobs AS job
)
INSERT INTO pgjobs.jobs_history
SELECT h.* FROM done CROSS JOIN LATERAL pgjobs.ended(done.job, 'completed') AS h
RETURNING id
