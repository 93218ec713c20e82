-- Ask enqueuers to ring (NOTIFY) for this queue, for a while. One waiting producer does it for all. Where somebody holds
-- the queue's row (a transaction that changes its settings), nobody waits for that: there are polls.
UPDATE pgjobs.queues
SET doorbell_until = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE name = (SELECT q.name
              FROM pgjobs.queues AS q
              WHERE q.name = %(queue)s
                AND (q.doorbell_until IS NULL
                     OR q.doorbell_until < clock_timestamp() + %(seconds)s / 2.0 * interval '1 second')
              FOR UPDATE SKIP LOCKED)
