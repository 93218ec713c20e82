-- Keep finished jobs for a number of days (NULL: forever), from the next retention run of any worker on.
INSERT INTO pgjobs.retention (history_days) VALUES (%(days)s)
ON CONFLICT ((true)) DO UPDATE SET history_days = excluded.history_days, applied_at = NULL
RETURNING history_days
