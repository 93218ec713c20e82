-- Jobs that were ended by hand, without a time: now is when they are seen. With a day they leave the default
-- partition, which would keep them forever (no other partition takes them). Some pages of it at a time.
WITH found AS MATERIALIZED (
    SELECT id
    FROM pgjobs.jobs_history_default
    WHERE finished_at IS NULL AND ctid >= %(begins)s::tid AND ctid < %(ends)s::tid
    FOR UPDATE
), moved AS (
    UPDATE pgjobs.jobs_history
    SET finished_at = now()
    WHERE finished_at IS NULL AND ctid >= %(begins)s::tid AND ctid < %(ends)s::tid
      AND (SELECT count(*) FROM found) > 0
    RETURNING id
)
SELECT id
FROM moved
WHERE pgjobs.all_kept((SELECT count(*) FROM found), (SELECT count(*) FROM moved))
