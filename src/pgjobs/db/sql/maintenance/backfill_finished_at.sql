-- Jobs that were ended by hand, without a time: now is when they are seen. With a day they leave the default
-- partition, which would keep them forever (no other partition takes them). Some pages of it at a time.
UPDATE pgjobs.jobs_history
SET finished_at = now()
WHERE finished_at IS NULL AND ctid >= %(begins)s::tid AND ctid < %(ends)s::tid
