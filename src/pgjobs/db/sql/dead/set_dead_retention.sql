-- Keep dead letters for a number of days (NULL: forever), from the next retention run of any worker on.
INSERT INTO pgjobs.retention (history_days, dead_letter_days) VALUES (NULL, %(days)s)
ON CONFLICT ((true)) DO UPDATE SET dead_letter_days = excluded.dead_letter_days, applied_at = NULL
RETURNING dead_letter_days
