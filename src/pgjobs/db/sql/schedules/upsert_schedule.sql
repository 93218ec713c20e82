-- Write a schedule; an existing one is changed if it is of the same application. A pause is kept.
INSERT INTO pgjobs.schedules AS s
    (name, app, cron, tz, missed, overlap, next_at, digest, queue, priority, max_attempts, timeout, executor, task,
     meta, summary, options, signature, payload)
VALUES (%(name)s, %(app)s, %(cron)s, %(tz)s, %(missed)s, %(overlap)s, %(next_at)s, %(digest)s, %(queue)s, %(priority)s,
        %(max_attempts)s, %(timeout)s, %(executor)s, %(task)s, %(meta)s::jsonb, %(summary)s, %(options)s::jsonb, %(signature)s,
        %(payload)s)
ON CONFLICT (name) DO UPDATE
SET cron = excluded.cron, tz = excluded.tz, missed = excluded.missed, overlap = excluded.overlap,
    next_at = excluded.next_at, digest = excluded.digest, queue = excluded.queue, priority = excluded.priority,
    max_attempts = excluded.max_attempts, timeout = excluded.timeout, executor = excluded.executor,
    task = excluded.task, meta = excluded.meta, summary = excluded.summary, options = excluded.options, signature = excluded.signature,
    payload = excluded.payload, retired_at = NULL, error = NULL, updated_at = now()
WHERE s.app IS NOT DISTINCT FROM excluded.app
