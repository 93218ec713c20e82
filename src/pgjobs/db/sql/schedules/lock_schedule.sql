-- The schedule that has been due for the longest time, locked for its firing; schedules that others have locked are
-- skipped. `done`: those that had their turn in this round.
SELECT name, cron, tz, missed, overlap, next_at, last_at, last_job_id, statement_timestamp() AS now,
       columns, options, summary, signature, payload
FROM pgjobs.schedules
WHERE paused_at IS NULL AND retired_at IS NULL
  AND next_at <= statement_timestamp() AND name <> ALL (%(done)s::text[])
ORDER BY next_at
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED
