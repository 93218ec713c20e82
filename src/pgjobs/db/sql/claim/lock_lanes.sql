-- The lock under which waiting jobs are claimed: one transaction at a time in the whole installation, because queues
-- may share a limit. It ends with the transaction. A producer that does not get it tries again in a moment.
SELECT pg_try_advisory_xact_lock(hashtextextended('pgjobs', 20261122))
