-- Keep dead letters for so many days (NULL: for ever), from the next look of any worker on.
INSERT INTO pgjobs.retention (history_days, dead_letter_days) VALUES (NULL, %(days)s)
ON CONFLICT ((true)) DO UPDATE SET dead_letter_days = excluded.dead_letter_days, applied_at = NULL
RETURNING dead_letter_days
