-- The next unfinished workflows that were not looked at for a while: the net below the counts.
SELECT w.id
FROM pgjobs.workflows AS w
WHERE w.ended_at IS NULL AND w.checked_at < now() - %(age)s * interval '1 second'
ORDER BY w.checked_at
LIMIT %(batch)s
