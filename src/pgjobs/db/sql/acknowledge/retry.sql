-- Acknowledge: running → queued, later, with the error of this attempt recorded.
-- A job that was asked to be cancelled is left to cancel.sql.
UPDATE pgjobs.jobs_live AS live
SET status = 'queued',
    run_at = now() + a.delay * interval '1 second',
    worker_id = NULL,
    started_at = NULL,
    isolate = nullif(a.isolate, false),
    error = a.error,
    error_kind = a.kind,
    errors = pgjobs.errors_with(live.errors, live.attempt, live.started_at, live.worker_id, %(host)s::text, a.error,
                                a.traceback)
FROM unnest(%(ids)s::bigint[], %(claim_numbers)s::int[], %(delays)s::float8[],
            %(isolates)s::boolean[], %(errors)s::text[], %(kinds)s::text[], %(tracebacks)s::text[])
     AS a (id, claims, delay, isolate, error, kind, traceback)
WHERE live.id = ANY (ARRAY[a.id]) AND live.claims = a.claims
  AND live.status = 'running' AND live.worker_id = %(worker_id)s
  AND live.cancel_reason IS NULL
RETURNING live.id, live.lane IS NOT NULL AS controlled
