-- Somebody has ended jobs by hand, and not said when: it is now that they are seen. With a day they leave the default
-- partition, where they would be kept for ever (no other one takes them). Some pages of it at a time.
UPDATE pgjobs.jobs_history
SET finished_at = now()
WHERE finished_at IS NULL AND ctid >= %(begins)s::tid AND ctid < %(ends)s::tid
