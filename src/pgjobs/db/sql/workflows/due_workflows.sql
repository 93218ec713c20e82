-- The workflows of these jobs in which no step may run: they have ended, or are stuck. And those that are paused, or to
-- be cancelled: what became free meanwhile is held, or cancelled. Asked after the commit of an end, because no
-- transaction sees what others count before that: the last one to commit sees all.
SELECT w.id
FROM (SELECT DISTINCT s.workflow_id FROM pgjobs.workflow_steps AS s WHERE s.job_id = ANY (%(ids)s::bigint[])) AS d
JOIN pgjobs.workflows AS w ON w.id = d.workflow_id
WHERE w.ended_at IS NULL
  AND (w.cancelled_at IS NOT NULL OR w.paused_at IS NOT NULL
       OR w.active + coalesce((SELECT sum(c.active) FROM pgjobs.workflow_counts AS c
                               WHERE c.workflow_id = w.id), 0) <= 0)
