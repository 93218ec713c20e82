-- Keep minutes for a number of days, from the next retention run of any worker on.
INSERT INTO pgjobs.retention (minute_days) VALUES (%(days)s)
ON CONFLICT ((true)) DO UPDATE SET minute_days = excluded.minute_days, applied_at = NULL
RETURNING minute_days
