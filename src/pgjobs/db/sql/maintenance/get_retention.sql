-- How long things are kept. There is one row; where somebody has deleted it, nothing is ever removed.
SELECT history_days, dead_letter_days, applied_at
FROM (SELECT) AS one
LEFT JOIN pgjobs.retention AS r ON true
