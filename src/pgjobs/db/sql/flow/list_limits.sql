-- The limits, and the keys that run or wait now, or are the name of a limit, with what is left of their rates. Running
-- jobs are counted by an index; of waiting ones at most %(most)s rows are read: `counted` says whether that was all.
WITH running AS (
    SELECT v.limit_key AS key, count(*) AS running, (array_agg(v.id ORDER BY v.id))[:%(holders)s::integer] AS holders
    FROM pgjobs.jobs_live AS v
    WHERE v.limit_key IS NOT NULL AND v.status = 'running'
    GROUP BY v.limit_key
), looked_at AS MATERIALIZED (
    SELECT w.limit_key AS key, w.held, w.run_at FROM pgjobs.jobs_waiting AS w LIMIT %(most)s
), waiting AS (
    SELECT key, count(*) AS waiting
    FROM looked_at
    WHERE key IS NOT NULL AND held IS NULL AND run_at <= now()
    GROUP BY key
), keys AS (
    SELECT key FROM running UNION SELECT key FROM waiting UNION SELECT name FROM pgjobs.limits
)
SELECT keys.key, m.name, m.concurrency, m.rate, extract(epoch FROM m.period)::float8 AS period, m.burst,
       CASE WHEN m.set_by = 'code'
                 AND ((m.declared ->> 0)::integer, (m.declared ->> 1)::float8, (m.declared ->> 2)::float8,
                      (m.declared ->> 3)::float8)
                     IS NOT DISTINCT FROM (m.concurrency, m.rate, extract(epoch FROM m.period)::float8, m.burst)
            THEN 'code' ELSE 'operator' END AS set_by,
       m.updated_at, coalesce(running.running, 0) AS running, coalesce(running.holders, '{}') AS holders,
       coalesce(waiting.waiting, 0) AS waiting, (SELECT count(*) FROM looked_at) < %(most)s AS counted,
       b.tokens, b.at, now() AS now
FROM keys
CROSS JOIN LATERAL (
    SELECT *
    FROM pgjobs.limits AS l
    WHERE l.name IN (keys.key, pgjobs.pattern_of(keys.key))
    ORDER BY l.name = keys.key DESC
    LIMIT 1
) AS m
LEFT JOIN running ON running.key = keys.key
LEFT JOIN waiting ON waiting.key = keys.key
LEFT JOIN pgjobs.buckets AS b ON b.kind = 'limit' AND b.name = keys.key
ORDER BY m.name, running.running DESC NULLS LAST, waiting.waiting DESC NULLS LAST, keys.key
