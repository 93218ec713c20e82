-- Write a schedule; an existing one is changed if it is of the same application. A pause is kept.
INSERT INTO pgjobs.schedules AS s
    (name, app, cron, tz, missed, overlap, next_at, digest, columns, options, summary, signature, payload)
VALUES (%(name)s, %(app)s, %(cron)s, %(tz)s, %(missed)s, %(overlap)s, %(next_at)s, %(digest)s, %(columns)s::jsonb,
        %(options)s::jsonb, %(summary)s, %(signature)s, %(payload)s)
ON CONFLICT (name) DO UPDATE
SET cron = excluded.cron, tz = excluded.tz, missed = excluded.missed, overlap = excluded.overlap,
    next_at = excluded.next_at, digest = excluded.digest, columns = excluded.columns, options = excluded.options,
    summary = excluded.summary, signature = excluded.signature, payload = excluded.payload, retired_at = NULL,
    error = NULL, updated_at = now()
WHERE s.app IS NOT DISTINCT FROM excluded.app
