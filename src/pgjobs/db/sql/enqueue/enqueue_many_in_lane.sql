-- Many jobs of one callable that wait for their turns; lanes and costs are each job's own. See enqueue_in_lane.sql.
INSERT INTO pgjobs.jobs_waiting
    (run_at, {enqueue_columns}, summary, signature, payload, held, lane, limit_key, sequence, breaker, cost,
     on_failure, expires_at)
SELECT d.run_at, {enqueue_values}, a.summary, a.signature, a.payload,
       CASE WHEN d.run_at > statement_timestamp() THEN 'later' END,
       a.lane, nullif(split_part(a.lane, chr(31), 2), ''), nullif(split_part(a.lane, chr(31), 3), ''),
       nullif(split_part(a.lane, chr(31), 4), ''), a.cost, CAST(%(on_failure)s AS text),
       coalesce(CAST(%(expires_at)s AS timestamptz),
                d.run_at + CAST(%(expires_after)s AS float8) * interval '1 second')
FROM (SELECT coalesce(CAST(%(run_at)s AS timestamptz),
                      statement_timestamp() + CAST(%(delay)s AS float8) * interval '1 second') AS run_at) AS d,
     (SELECT unnest(CAST(%(summaries)s AS text[])) AS summary,
             unnest(CAST(%(signatures)s AS bytea[])) AS signature,
             unnest(CAST(%(payloads)s AS bytea[])) AS payload,
             unnest(CAST(%(lanes)s AS text[])) AS lane,
             unnest(CAST(%(costs)s AS real[])) AS cost) AS a
RETURNING id
