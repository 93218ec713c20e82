-- Signals that were sent: those who wait for them are due now. A job that has just begun to wait still runs, and one
-- that another transaction has locked cannot be changed: such a signal is looked at again. What is read of a wait was
-- written before the job looked for the signal the last time, so a job that missed it is found here.
WITH signals AS MATERIALIZED (
    SELECT g.kind, g.target, g.name
    FROM pgjobs.signals AS g
    WHERE NOT g.settled
    ORDER BY g.target
    LIMIT 500
    FOR NO KEY UPDATE SKIP LOCKED
), waiting AS MATERIALIZED (
    SELECT g.kind, g.target, g.name, w.job_id
    FROM signals AS g
    JOIN pgjobs.waits AS w ON g.kind = 'job' AND w.job_id = g.target AND w.signal = g.name
    UNION ALL
    SELECT g.kind, g.target, g.name, w.job_id
    FROM signals AS g
    JOIN pgjobs.waits AS w ON g.kind = 'workflow' AND w.workflow_id = g.target AND w.signal = g.name
), running AS MATERIALIZED (
    SELECT j.id FROM pgjobs.jobs_live AS j
    WHERE j.id = ANY (ARRAY (SELECT job_id FROM waiting)) AND j.status = 'running'
), free AS MATERIALIZED (
    SELECT j.id FROM pgjobs.jobs AS j
    WHERE j.id = ANY (ARRAY (SELECT job_id FROM waiting)) AND j.status IN ('queued', 'waiting')
    ORDER BY j.id
    FOR UPDATE SKIP LOCKED
), due AS (
    UPDATE pgjobs.jobs AS j
    SET run_at = now(), held = nullif(j.held, 'later')
    WHERE j.id = ANY (ARRAY (SELECT id FROM free)) AND j.status IN ('queued', 'waiting') AND j.run_at > now()
    RETURNING j.id, j.queue
), left_over AS MATERIALIZED (
    SELECT DISTINCT w.kind, w.target, w.name
    FROM waiting AS w
    WHERE w.job_id IN (SELECT id FROM running)
       OR (w.job_id NOT IN (SELECT id FROM free)
           AND EXISTS (SELECT FROM pgjobs.jobs AS j WHERE j.id = w.job_id AND j.status IN ('queued', 'waiting')))
), settled AS (
    UPDATE pgjobs.signals AS g
    SET settled = true
    FROM signals AS s
    WHERE g.kind = s.kind AND g.target = s.target AND g.name = s.name
      AND NOT EXISTS (SELECT FROM left_over AS l
                      WHERE l.kind = s.kind AND l.target = s.target AND l.name = s.name)
)
SELECT DISTINCT queue FROM due
