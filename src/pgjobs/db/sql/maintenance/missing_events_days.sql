-- The days (UTC) on which events of today and tomorrow will expire, as far as they have no partition yet: none where no
-- topic keeps its events.
SELECT DISTINCT d.day
FROM pgjobs.topics AS t
CROSS JOIN LATERAL (SELECT ((now() + t.keep) AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, 1) AS n) AS d
WHERE t.retired_at IS NULL AND to_regclass('pgjobs.events_' || to_char(d.day, 'YYYYMMDD')) IS NULL
ORDER BY d.day
