-- Delete the locks of keys that no job has, and those of batches, whose names do not tell their lanes. One that a claim
-- has locked stays; for one that is needed again a row is made again.
DELETE FROM pgjobs.key_locks AS l
USING (
    SELECT k.ctid
    FROM pgjobs.key_locks AS k
    WHERE CASE k.kind
          WHEN 'limit' THEN NOT EXISTS (SELECT FROM pgjobs.jobs_live AS v WHERE v.limit_key = k.name)
          WHEN 'sequence' THEN NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS w WHERE w.sequence = k.name)
          WHEN 'breaker' THEN NOT EXISTS (SELECT FROM pgjobs.breakers AS b WHERE b.name = k.name)
          WHEN 'batch' THEN true
          ELSE NOT EXISTS (SELECT FROM pgjobs.queues AS q WHERE q.name = k.name)
          END
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED
) AS unused
WHERE l.ctid = unused.ctid
