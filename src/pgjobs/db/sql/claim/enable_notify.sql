-- Ask enqueuers to NOTIFY for this queue, for a while. One waiting producer does it for all. If another transaction
-- holds the queue's row (to change its settings), this does not wait: producers poll as well.
UPDATE pgjobs.queues
SET doorbell_until = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE name = (SELECT q.name
              FROM pgjobs.queues AS q
              WHERE q.name = %(queue)s
                AND (q.doorbell_until IS NULL
                     OR q.doorbell_until < clock_timestamp() + %(seconds)s / 2.0 * interval '1 second')
              FOR UPDATE SKIP LOCKED)
