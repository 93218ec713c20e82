-- Delete what is older than the oldest day that is kept from some pages of the default partition. Rows that another
-- transaction has locked are left for the next time.
DELETE FROM pgjobs.jobs_history_default
WHERE ctid = ANY (ARRAY (
    SELECT ctid
    FROM pgjobs.jobs_history_default
    WHERE ctid >= %(begins)s::tid AND ctid < %(ends)s::tid
      AND finished_at < ((now() AT TIME ZONE 'UTC')::date - %(days)s::int)::timestamp AT TIME ZONE 'UTC'
    FOR UPDATE SKIP LOCKED))
