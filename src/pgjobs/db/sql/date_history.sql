-- Somebody has ended jobs by hand, and not said when: it is now that they are seen. With a day they leave the default
-- partition, where they would be kept for ever. These pages of it only.
UPDATE pgjobs.jobs_history
SET finished_at = now()
WHERE finished_at IS NULL
  AND id IN (SELECT d.id
             FROM pgjobs.jobs_history_default AS d
             WHERE d.finished_at IS NULL AND d.ctid >= %(begins)s::tid AND d.ctid < %(ends)s::tid)
