-- How many jobs of these stages of pipelines may start; NULL: any number.
SELECT s.key, r.room
FROM unnest(%(stages)s::text[]) AS s (key)
LEFT JOIN LATERAL pgjobs.room_of_stage(s.key) AS r ON true
