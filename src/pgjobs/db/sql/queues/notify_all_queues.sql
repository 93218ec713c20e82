-- Ring the doorbell of every queue, where it is armed.
SELECT pgjobs.ring(pgjobs.doorbell_channel(name)) FROM pgjobs.queues WHERE doorbell_until > clock_timestamp()
