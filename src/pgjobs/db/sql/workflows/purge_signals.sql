-- Delete signals to jobs that ended more than a day ago, as purge_waits.sql does. Those to workflows go with them.
DELETE FROM pgjobs.signals
WHERE ctid = ANY (ARRAY (
    SELECT s.ctid
    FROM pgjobs.signals AS s
    WHERE s.sent_at < now() - interval '1 day'
      AND CASE s.kind
          WHEN 'workflow' THEN NOT EXISTS (SELECT FROM pgjobs.workflows AS w WHERE w.id = s.target)
          ELSE NOT EXISTS (SELECT FROM pgjobs.jobs_live AS live WHERE live.id = s.target)
               AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS waiting WHERE waiting.id = s.target)
               AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS dead WHERE dead.id = s.target) END
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED))
