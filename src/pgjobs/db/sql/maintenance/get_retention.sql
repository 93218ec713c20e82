-- How long finished jobs and dead letters are kept. One row; without it nothing is ever removed.
SELECT history_days, dead_letter_days, applied_at
FROM (SELECT) AS one
LEFT JOIN pgjobs.retention AS r ON true
