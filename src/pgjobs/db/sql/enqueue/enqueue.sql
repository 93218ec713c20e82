-- One job, in the caller's transaction. PostgreSQL's clock decides when it is due.
INSERT INTO pgjobs.jobs (run_at, {enqueue_columns}, summary, signature, payload)
VALUES (coalesce(CAST(%(run_at)s AS timestamptz),
                 statement_timestamp() + CAST(%(delay)s AS float8) * interval '1 second'),
        {enqueue_values},
        CAST(%(summary)s AS text), CAST(%(signature)s AS bytea), CAST(%(payload)s AS bytea))
RETURNING id
