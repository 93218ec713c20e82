-- What was written of queues for the last minute that was looked at, if that is not long ago: by the key of minutes.
SELECT m.queue::text AS queue, m.busy::float8 AS busy, coalesce(m.waiting, 0) AS waiting
FROM (SELECT max(w.minute) AS minute FROM pgjobs.queue_minutes AS w
      WHERE w.queue = '' AND w.task = '' AND w.sampled AND w.minute > now() - interval '5 minutes') AS last
CROSS JOIN LATERAL (
    SELECT '' AS queue, 0::real AS busy, 0 AS waiting
    WHERE last.minute IS NOT NULL
    UNION ALL
    SELECT q.queue, q.busy, q.waiting
    FROM unnest(CAST(%(queues)s AS text[])) AS names (name)
    CROSS JOIN LATERAL (SELECT q.queue, q.busy, q.waiting FROM pgjobs.queue_minutes AS q
                        WHERE q.queue = names.name AND q.task = '' AND q.minute = last.minute) AS q) AS m
