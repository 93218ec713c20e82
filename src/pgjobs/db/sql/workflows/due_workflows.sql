-- The workflows of these jobs in which no step may run: they have ended, or are stuck. And those that are paused, or to
-- be cancelled: what became free meanwhile is held, or cancelled. Asked after the commit of an end, because no
-- transaction sees what others count before that: the last one to commit sees all.
--
-- %(workflows)s: the same, where the workflow is known. %(busy)s: the same, but in those the transaction has let
-- something run, and asks again when that ends. So nothing is summed up for the middle of a chain.
SELECT w.id
FROM (SELECT a.id, bool_or(a.may_end) AS may_end
      FROM (SELECT s.workflow_id AS id, true AS may_end
            FROM pgjobs.workflow_steps AS s WHERE s.job_id = ANY (%(ids)s::bigint[])
            UNION ALL
            SELECT u.id, true FROM unnest(%(workflows)s::bigint[]) AS u (id)
            UNION ALL
            SELECT u.id, false FROM unnest(%(busy)s::bigint[]) AS u (id)) AS a
      GROUP BY a.id) AS d
CROSS JOIN LATERAL (SELECT f.* FROM pgjobs.workflows AS f WHERE f.id = d.id LIMIT 1) AS w
WHERE w.ended_at IS NULL
  AND (w.cancelled_at IS NOT NULL OR w.paused_at IS NOT NULL
       OR d.may_end AND w.active + coalesce((SELECT sum(c.active) FROM pgjobs.workflow_counts AS c
                                             WHERE c.workflow_id = w.id), 0) <= 0)
