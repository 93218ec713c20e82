-- One job that waits for its turn. Its lane holds its keys: tenant, limit key, sequence and breaker. It goes into its
-- partition by name, where the status has a default: a role that may only enqueue cannot choose one.
INSERT INTO pgjobs.jobs_waiting
    (run_at, {enqueue_columns}, summary, signature, payload, held, lane, limit_key, sequence, breaker, cost,
     on_failure, expires_at)
SELECT d.run_at, {enqueue_values},
       CAST(%(summary)s AS text), CAST(%(signature)s AS bytea), CAST(%(payload)s AS bytea),
       CASE WHEN d.run_at > statement_timestamp() THEN 'later' END,
       d.lane, nullif(split_part(d.lane, chr(31), 2), ''), nullif(split_part(d.lane, chr(31), 3), ''),
       nullif(split_part(d.lane, chr(31), 4), ''), CAST(%(cost)s AS real), CAST(%(on_failure)s AS text),
       coalesce(CAST(%(expires_at)s AS timestamptz),
                d.run_at + CAST(%(expires_after)s AS float8) * interval '1 second')
FROM (SELECT CAST(%(lane)s AS text) AS lane,
             coalesce(CAST(%(run_at)s AS timestamptz),
                      statement_timestamp() + CAST(%(delay)s AS float8) * interval '1 second') AS run_at) AS d
RETURNING id
