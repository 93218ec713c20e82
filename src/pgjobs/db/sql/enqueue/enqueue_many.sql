-- Many jobs of one callable, in the caller's transaction; the ids come back in the order of the arguments. When they
-- are due is computed once. The arrays are unnested in the select list: in FROM they would first be written out as a
-- table.
INSERT INTO pgjobs.jobs (run_at, {enqueue_columns}, summary, signature, payload)
SELECT (SELECT coalesce(CAST(%(run_at)s AS timestamptz),
                        statement_timestamp() + CAST(%(delay)s AS float8) * interval '1 second')),
       {enqueue_values}, a.summary, a.signature, a.payload
FROM (SELECT unnest(CAST(%(summaries)s AS text[])) AS summary,
             unnest(CAST(%(signatures)s AS bytea[])) AS signature,
             unnest(CAST(%(payloads)s AS bytea[])) AS payload) AS a
RETURNING id
