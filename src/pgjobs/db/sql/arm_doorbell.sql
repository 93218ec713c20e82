-- Ask enqueuers to ring (NOTIFY) for this queue, for a while. One waiting producer does it for all.
UPDATE pgjobs.queues
SET doorbell_until = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE name = %(queue)s
  AND (doorbell_until IS NULL OR doorbell_until < clock_timestamp() + %(seconds)s / 2.0 * interval '1 second')
