-- The newest broadcasts, or one of them, and how many of their runs are how.
SELECT b.id, b.task, b.summary, b.target AS "on", b.committed_at, b.closes_at,
       runs.queued, runs.running, runs.completed, runs.failed, runs.gone
FROM pgjobs.broadcasts AS b
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE r.state = 'queued') AS queued,
           count(*) FILTER (WHERE r.state = 'running') AS running,
           count(*) FILTER (WHERE r.state = 'completed') AS completed,
           count(*) FILTER (WHERE r.state = 'failed') AS failed,
           count(*) FILTER (WHERE r.state = 'gone') AS gone
    FROM pgjobs.broadcast_runs AS r
    WHERE r.broadcast_id = b.id) AS runs
WHERE %(broadcast)s::bigint IS NULL OR b.id = %(broadcast)s
ORDER BY b.id DESC
LIMIT %(limit)s
