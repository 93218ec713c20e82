-- Which of these jobs run, and their claims: those that called complete() in a transaction that was not committed, or
-- that another worker has by now. Runs after held_claims.sql, which leaves out those whose transaction is open.
SELECT live.id, live.claims
FROM pgjobs.jobs_live AS live
WHERE live.id = ANY (%(ids)s::bigint[])
