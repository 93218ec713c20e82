-- Move on to the next firing, in the transaction that enqueued the one before (or recorded why not).
UPDATE pgjobs.schedules
SET next_at = %(next_at)s,
    last_at = coalesce(%(last_at)s, last_at),
    last_job_id = coalesce(%(job_id)s, last_job_id),
    error = %(error)s
WHERE name = %(name)s AND next_at = %(was)s
