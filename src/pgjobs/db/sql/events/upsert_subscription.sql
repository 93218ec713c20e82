-- Write a subscription; an existing one is changed if it is of the same application. A pause is kept.
INSERT INTO pgjobs.subscriptions AS s
    (name, app, pattern, digest, queue, priority, max_attempts, timeout, executor, meta, expires, limit_key, fair_by,
     breaker, cost, on_failure, summary, signature)
VALUES (%(name)s, %(app)s, %(pattern)s, %(digest)s, %(queue)s, %(priority)s, %(max_attempts)s, %(timeout)s,
        %(executor)s, %(meta)s::jsonb, %(expires)s, %(limit_key)s, %(fair_by)s, %(breaker)s, %(cost)s, %(on_failure)s,
        %(summary)s, %(signature)s)
ON CONFLICT (name) DO UPDATE
SET pattern = excluded.pattern, digest = excluded.digest, queue = excluded.queue, priority = excluded.priority,
    max_attempts = excluded.max_attempts, timeout = excluded.timeout, executor = excluded.executor,
    meta = excluded.meta, expires = excluded.expires, limit_key = excluded.limit_key, fair_by = excluded.fair_by,
    breaker = excluded.breaker, cost = excluded.cost, on_failure = excluded.on_failure, summary = excluded.summary,
    signature = excluded.signature, retired_at = NULL, updated_at = now()
WHERE s.app = excluded.app
