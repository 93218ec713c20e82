-- One job, in the caller's transaction. PostgreSQL's clock decides when it is due.
INSERT INTO pgjobs.jobs (queue, priority, run_at, max_attempts, timeout, executor, task, meta, summary, signature, payload)
VALUES (CAST(%(queue)s AS text), CAST(%(priority)s AS smallint),
        coalesce(CAST(%(run_at)s AS timestamptz),
                 statement_timestamp() + CAST(%(delay)s AS float8) * interval '1 second'),
        CAST(%(max_attempts)s AS integer), CAST(%(timeout)s AS real), CAST(%(executor)s AS text),
        CAST(%(task)s AS text), CAST(%(meta)s AS jsonb), CAST(%(summary)s AS text), CAST(%(signature)s AS bytea), CAST(%(payload)s AS bytea))
RETURNING id
