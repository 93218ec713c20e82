-- Delete expired events from the default partition, some at a time. There are few: those that came before
-- their day was made.
DELETE FROM pgjobs.events_default
WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM pgjobs.events_default WHERE kept_until < now() LIMIT %(batch)s FOR UPDATE SKIP LOCKED))
