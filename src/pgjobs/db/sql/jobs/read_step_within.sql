-- What read_step.sql reads, for the connection of a caller, of whose rows only the first column is read: the value, and
-- then its signature.
SELECT v.part
FROM pgjobs.job_steps AS s
CROSS JOIN LATERAL (VALUES (1, s.value), (2, s.signature)) AS v (n, part)
WHERE s.job_id = CAST(%(id)s AS bigint) AND s.key = CAST(%(key)s AS text)
ORDER BY v.n
