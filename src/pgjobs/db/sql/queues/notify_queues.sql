-- Ring the doorbell of queues, where it is armed, after changes that no INSERT announced.
SELECT pgjobs.ring(pgjobs.doorbell_channel(name))
FROM pgjobs.queues
WHERE name = ANY (%(queues)s::text[]) AND doorbell_until > clock_timestamp()
