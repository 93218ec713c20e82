-- The days of history (UTC), with the default partition (no day) last: their size on disk, and about how many jobs are
-- in them, as PostgreSQL last counted (NULL: never). `until`: when retention may drop a day (NULL: never).
SELECT c.relname AS name, d.day, pg_total_relation_size(c.oid) AS bytes,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS jobs,
       (d.day + r.history_days + 1)::timestamp AT TIME ZONE 'UTC' AS until
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.relname ~ '^jobs_history_[0-9]{8}$' THEN to_date(right(c.relname, 8), 'YYYYMMDD') END AS day
) AS d
LEFT JOIN pgjobs.retention AS r ON true
WHERE i.inhparent = 'pgjobs.jobs_history'::regclass
ORDER BY d.day, c.relname
