-- Keep finished jobs for so many days (NULL: for ever), from the next look of any worker on.
INSERT INTO pgjobs.retention (history_days) VALUES (%(days)s)
ON CONFLICT ((true)) DO UPDATE SET history_days = excluded.history_days, applied_at = NULL
RETURNING history_days
