-- Which of these jobs had begun was not written down until now. Those that were claimed counted as started, and go on
-- to. A row that another transaction holds is left alone.
UPDATE pgjobs.jobs AS j
SET prior_attempts = 0
WHERE j.id = ANY (ARRAY (
          SELECT c.id
          FROM pgjobs.unique_keys AS k
          JOIN pgjobs.jobs AS c ON c.id = k.job_id
          WHERE c.status IN ('queued', 'waiting') AND c.claims > 0 AND c.attempt = 0 AND c.prior_attempts IS NULL
          FOR NO KEY UPDATE OF c SKIP LOCKED))
  AND j.status IN ('queued', 'waiting');
