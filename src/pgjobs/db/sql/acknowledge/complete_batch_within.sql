-- Complete: running → completed, by a batch itself, for all of its jobs in the transaction of their work; as
-- complete_within.sql does for one job. Where one of the claims is no longer the batch's, the transaction cannot be
-- committed. Returns 1 if other jobs wait for one of these. CASE: see complete.sql.
WITH done AS (
    DELETE FROM pgjobs.jobs_live AS live
    WHERE live.id = ANY (CAST(%(ids)s AS bigint[])) AND live.status = 'running'
      AND CASE WHEN (live.id, live.claims) IN (
              SELECT a.id, a.claims
              FROM unnest(CAST(%(ids)s AS bigint[]), CAST(%(claim_numbers)s AS int[])) AS a (id, claims)
          ) THEN true END
    RETURNING {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, live.dependents
), forgotten AS (
    SELECT d.id
    FROM done AS d
    JOIN pgjobs.queues AS q ON q.name = d.queue
    WHERE d.dependents IS NULL AND NOT q.keep_completed
), kept AS (
    INSERT INTO pgjobs.jobs_history
           ({kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, status, finished_at)
    SELECT {kept_columns}, {attempt_columns}, {flow_columns}, error, error_kind, errors, 'completed',
           clock_timestamp()
    FROM done
    WHERE id NOT IN (SELECT f.id FROM forgotten AS f)
    RETURNING 1
), unsettled AS (
    UPDATE pgjobs.dependencies AS d
    SET settled = false
    FROM done
    WHERE done.dependents AND d.needs_id = done.id
    RETURNING 1
)
SELECT CASE WHEN EXISTS (SELECT FROM done WHERE dependents) THEN 1 ELSE 0 END
WHERE pgjobs.refuse_stale_claim(CASE WHEN (SELECT count(*) FROM done) = cardinality(CAST(%(ids)s AS bigint[]))
                                     THEN 1 ELSE 0 END)
  AND pgjobs.all_kept((SELECT count(*) FROM done),
                      (SELECT count(*) FROM kept) + (SELECT count(*) FROM forgotten))
