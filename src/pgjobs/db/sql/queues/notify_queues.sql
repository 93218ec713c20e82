-- Ring the doorbell of queues, where it is armed, for what no INSERT has told.
SELECT pg_notify(pgjobs.doorbell_channel(name), '')
FROM pgjobs.queues
WHERE name = ANY (%(queues)s::text[]) AND doorbell_until > clock_timestamp()
