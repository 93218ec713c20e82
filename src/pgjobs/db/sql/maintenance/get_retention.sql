-- How long finished jobs, dead letters and minutes are kept. One row; without it nothing is ever removed.
SELECT history_days, dead_letter_days, coalesce(minute_days, 7) AS minute_days, applied_at
FROM (SELECT) AS one
LEFT JOIN pgjobs.retention AS r ON true
