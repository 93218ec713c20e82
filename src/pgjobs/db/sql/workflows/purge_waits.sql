-- Delete what jobs waited for that ended more than a day ago. Dead letters keep theirs: a replay continues there.
DELETE FROM pgjobs.waits
WHERE ctid = ANY (ARRAY (
    SELECT s.ctid
    FROM pgjobs.waits AS s
    WHERE s.began_at < now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS live WHERE live.id = s.job_id)
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS waiting WHERE waiting.id = s.job_id)
      AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS dead WHERE dead.id = s.job_id)
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED))
