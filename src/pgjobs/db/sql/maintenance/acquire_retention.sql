-- Take the turn at applying retention, and read what to keep; no row if another worker took it a while ago. So there
-- is one attempt at a time, however many workers there are.
UPDATE pgjobs.retention
SET applied_at = now()
WHERE ctid = (SELECT r.ctid
              FROM pgjobs.retention AS r
              WHERE r.applied_at IS NULL OR r.applied_at < now() - %(every)s * interval '1 second'
              FOR UPDATE SKIP LOCKED)
RETURNING history_days, dead_letter_days, minute_days
