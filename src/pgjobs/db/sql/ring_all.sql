-- Ring every doorbell that is armed: a breaker has closed, and its jobs may wait in any queue.
SELECT pg_notify(pgjobs.doorbell_channel(name), '') FROM pgjobs.queues WHERE doorbell_until > clock_timestamp()
