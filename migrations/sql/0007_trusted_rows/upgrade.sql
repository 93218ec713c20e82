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

-- Of a needed job that had no row when it was looked for: 0, then the number of a transaction. All before that one have
-- to end until it is clear that the job has completed without leaving a row. See mark_awaited.sql.
ALTER TABLE pgjobs.dependencies ADD COLUMN in_doubt bigint CHECK (in_doubt >= 0);
