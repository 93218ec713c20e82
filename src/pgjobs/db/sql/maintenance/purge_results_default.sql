-- Delete expired results from the default partition, some at a time. There are few: those that were to be kept for
-- longer than days are made ahead.
DELETE FROM pgjobs.results_default
WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM pgjobs.results_default WHERE kept_until < now() LIMIT %(batch)s FOR UPDATE SKIP LOCKED))
