-- Waiting jobs whose time has come: from here on they take turns. Returns their lanes.
UPDATE pgjobs.jobs_waiting AS w
SET held = NULL
WHERE w.ctid = ANY (ARRAY (
    SELECT l.ctid
    FROM pgjobs.jobs_waiting AS l
    WHERE l.queue = %(queue)s AND l.held = 'later' AND l.run_at <= now()
    ORDER BY l.run_at
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
))
RETURNING w.priority, w.lane
