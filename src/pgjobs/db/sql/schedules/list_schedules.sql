-- Schedules by name: all, or one of them.
SELECT s.name, s.app, s.cron, s.tz, s.missed, s.overlap, s.columns ->> 'task' AS task, s.summary,
       s.columns ->> 'queue' AS queue, (s.columns -> 'priority')::smallint AS priority,
       CASE WHEN s.retired_at IS NOT NULL THEN 'retired' WHEN s.paused_at IS NOT NULL THEN 'paused' ELSE 'active' END
           AS state,
       s.next_at, s.last_at, s.last_job_id, s.error, s.paused_at, s.retired_at, s.created_at, s.updated_at
FROM pgjobs.schedules AS s
WHERE %(schedule)s::text IS NULL OR s.name = %(schedule)s
ORDER BY s.name
