-- Delete the progress of jobs that ended more than a day ago. Dead letters keep theirs: a replay may continue there.
DELETE FROM pgjobs.progress
WHERE ctid = ANY (ARRAY (
    SELECT p.ctid
    FROM pgjobs.progress AS p
    WHERE p.updated_at < now() - interval '1 day'
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_live AS live WHERE live.id = p.job_id)
      AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS waiting WHERE waiting.id = p.job_id)
      AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS dead WHERE dead.id = p.job_id)
    LIMIT %(batch)s
    FOR UPDATE SKIP LOCKED))
