-- Remove some old minutes from the default partition, which has what was written before its day was made.
DELETE FROM pgjobs.queue_minutes_default
WHERE ctid = ANY (ARRAY (SELECT ctid FROM pgjobs.queue_minutes_default
                         WHERE minute < now() - %(days)s::integer * interval '1 day'
                         LIMIT %(batch)s FOR UPDATE SKIP LOCKED))
