-- Delete the steps of jobs that ended more than a day ago. Dead letters keep theirs: a replay continues there.
DELETE FROM pgjobs.job_steps
WHERE ctid = ANY (ARRAY (
    SELECT s.ctid
    FROM pgjobs.job_steps AS s
    WHERE s.done_at < now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS live WHERE live.id = s.job_id)
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS waiting WHERE waiting.id = s.job_id)
      AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS dead WHERE dead.id = s.job_id)
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED))
