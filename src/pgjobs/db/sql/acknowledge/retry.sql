-- Acknowledge: running → queued, later, with the error of this attempt recorded.
-- The list of errors keeps the first and the newest 99, so that a job that is retried for months stays small.
-- What was asked to be cancelled is left: see cancel.sql.
UPDATE pgjobs.jobs_live AS live
SET status = 'queued',
    run_at = now() + a.delay * interval '1 second',
    worker_id = NULL,
    started_at = NULL,
    isolate = nullif(a.isolate, false),
    error = a.error,
    errors = CASE WHEN jsonb_typeof(live.errors) <> 'array' THEN '[]'
                  WHEN jsonb_array_length(live.errors) >= 100 THEN live.errors - 1
                  ELSE coalesce(live.errors, '[]') END
             || jsonb_build_object('attempt', live.attempt, 'at', now(), 'started_at', live.started_at,
                                   'error', a.error, 'traceback', a.traceback,
                                   'worker', live.worker_id, 'host', %(host)s::text)
FROM unnest(%(ids)s::bigint[], %(claims)s::int[], %(delays)s::float8[], %(isolates)s::boolean[],
            %(errors)s::text[], %(tracebacks)s::text[]) AS a (id, claims, delay, isolate, error, traceback)
WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
  AND live.status = 'running' AND live.worker_id = %(worker_id)s
  AND live.cancel_reason IS NULL
RETURNING live.id, live.lane IS NOT NULL AS controlled
