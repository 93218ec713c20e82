-- The lock under which turns are given: one at a time in the whole installation, because a limit may be shared by
-- queues. It ends with the transaction. Who does not get it looks again in a moment.
SELECT pg_try_advisory_xact_lock(hashtextextended('pgjobs', 20261122))
