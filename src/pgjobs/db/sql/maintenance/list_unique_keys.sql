-- The next unique keys in their order, and whether anything still holds them: a job that is live, or a period.
SELECT k.key, k.job_id,
       coalesce(k.held_until <= now(), true)
       AND NOT EXISTS (SELECT FROM pgjobs.jobs AS j
                       WHERE j.id = k.job_id AND j.status IN ('queued', 'waiting', 'running')) AS is_free
FROM (SELECT * FROM pgjobs.unique_keys WHERE key > %(after)s ORDER BY key LIMIT %(batch)s) AS k
ORDER BY k.key
