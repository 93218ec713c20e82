-- Pipelines by name, all or one of them, with a row for each stage in its order. Items that wait are counted up to
-- %(cap)s. `rate`: items that have completed in a second, in the last minute, as far as history tells; %(seen)s jobs of
-- it are enough. Reads the live jobs and the dead letters once, as other listings do.
WITH running AS MATERIALIZED (
    SELECT pgjobs.stage_of_lane(v.lane) AS key, count(*) AS items
    FROM pgjobs.jobs_live AS v
    WHERE v.status = 'running' AND v.lane IS NOT NULL
    GROUP BY 1
), dead AS MATERIALIZED (
    SELECT pgjobs.stage_of_lane(d.lane) AS key, count(*) AS items
    FROM pgjobs.dead_jobs AS d
    WHERE d.lane IS NOT NULL
    GROUP BY 1
), ended AS MATERIALIZED (
    SELECT h.lane, h.status, h.finished_at
    FROM pgjobs.jobs_history AS h
    WHERE h.finished_at > now() - interval '1 minute' AND EXISTS (SELECT FROM pgjobs.pipelines)
    LIMIT %(seen)s
), span AS MATERIALIZED (
    SELECT CASE WHEN count(*) < %(seen)s THEN 60
                ELSE greatest(extract(epoch FROM max(finished_at) - min(finished_at)), 1) END::float8 AS seconds
    FROM ended
), rates AS MATERIALIZED (
    SELECT pgjobs.stage_of_lane(e.lane) AS key, count(*) AS items
    FROM ended AS e
    WHERE e.lane IS NOT NULL AND e.status = 'completed'
    GROUP BY 1
)
SELECT p.name AS pipeline, p.app, p.at_most, p.paused_at, p.retired_at, p.created_at, p.updated_at,
       s.name, s.task, s.queue, w.items AS waiting, coalesce(r.items, 0) AS running, coalesce(d.items, 0) AS dead,
       coalesce(e.items, 0) / span.seconds AS rate
FROM pgjobs.pipelines AS p
JOIN pgjobs.pipeline_stages AS s ON s.pipeline = p.name
CROSS JOIN span
CROSS JOIN LATERAL (
    SELECT count(*) AS items
    FROM (SELECT FROM pgjobs.jobs_waiting AS j
          WHERE nullif(split_part(j.lane, chr(31), 6), '') = s.key
          LIMIT greatest(%(cap)s, p.at_most)) AS waiting) AS w
LEFT JOIN running AS r ON r.key = s.key
LEFT JOIN dead AS d ON d.key = s.key
LEFT JOIN rates AS e ON e.key = s.key
WHERE %(pipeline)s::text IS NULL OR p.name = %(pipeline)s
ORDER BY p.name, s.place
