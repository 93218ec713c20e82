-- How many of a broadcast's runs have not ended; no row: there is no such broadcast.
SELECT (SELECT count(*) FROM pgjobs.broadcast_runs AS r
        WHERE r.broadcast_id = b.id AND r.state IN ('queued', 'running')) AS unfinished
FROM pgjobs.broadcasts AS b
WHERE b.id = %(broadcast)s
