-- The sessions that hold locks on the tables, the oldest transaction first: what a migration waits for.
SELECT l.pid, coalesce(a.application_name, x.gid, '') AS name, coalesce(a.state, 'prepared') AS state,
       coalesce(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared)), 0)::float8 AS seconds,
       min(c.relname) AS table_name
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation AND c.relnamespace = 'pgjobs'::regnamespace
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN (pg_locks AS t JOIN pg_prepared_xacts AS x ON x.transaction = t.transactionid)
     ON l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid' AND t.virtualtransaction = l.virtualtransaction
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
GROUP BY 1, 2, 3, 4
ORDER BY seconds DESC
LIMIT 3
