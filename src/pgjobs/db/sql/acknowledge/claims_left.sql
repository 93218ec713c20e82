-- Which of these jobs have not ended, and the claims of those that run: they called complete() in a transaction that
-- was not committed, or another worker has them by now, or they wait for their turn again. Runs after held_claims.sql,
-- which leaves out those whose transaction is open.
SELECT live.id, live.claims
FROM pgjobs.jobs_live AS live
WHERE live.id = ANY (%(ids)s::bigint[])
UNION ALL
SELECT waiting.id, NULL
FROM pgjobs.jobs_waiting AS waiting
WHERE waiting.id = ANY (%(ids)s::bigint[])
