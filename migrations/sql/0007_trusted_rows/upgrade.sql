-- All tables that this migration and the next ones change, before anything else: one after another they would be locked
-- while claims hold some of them and wait for the others, which is a deadlock. Claims lock the first one first. The
-- others are waited for only for a moment; then all are let go, and tried again.
DO $$
DECLARE
    before CONSTANT text := current_setting('lock_timeout');
    is_first boolean;
BEGIN
    FOR try IN 1..50 LOOP
        BEGIN
            is_first := true;
            LOCK TABLE pgjobs.jobs_waiting IN ACCESS EXCLUSIVE MODE;
            is_first := false;
            PERFORM set_config('lock_timeout', '100ms', true);
            LOCK TABLE pgjobs.dependencies, pgjobs.limits, pgjobs.queues, pgjobs.buckets, pgjobs.breakers,
                pgjobs.dead_jobs, pgjobs.key_locks IN ACCESS EXCLUSIVE MODE;
            PERFORM set_config('lock_timeout', before, true);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF is_first OR try = 50 THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;

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

-- Numbers that a claim would overflow with, and settings that workers would refuse to read. Those that are there become
-- the nearest that work.
UPDATE pgjobs.limits
SET rate = least(greatest(rate, 1e-15), 1e15), burst = least(burst, 1e15), period = least(period, '1000 years')
WHERE rate NOT BETWEEN 1e-15 AND 1e15 OR burst > 1e15 OR period > '1000 years';

ALTER TABLE pgjobs.limits ADD CONSTRAINT limits_range_check
    CHECK (rate BETWEEN 1e-15 AND 1e15 AND burst <= 1e15 AND period <= '1000 years');

UPDATE pgjobs.queues
SET rate = least(greatest(rate, 1e-15), 1e15), burst = least(burst, 1e15), period = least(period, '1000 years'),
    aging = least(aging, '1000 years')
WHERE rate NOT BETWEEN 1e-15 AND 1e15 OR burst > 1e15 OR period > '1000 years' OR aging > '1000 years';

ALTER TABLE pgjobs.queues ADD CONSTRAINT queues_range_check
    CHECK (rate BETWEEN 1e-15 AND 1e15 AND burst <= 1e15 AND period <= '1000 years' AND aging <= '1000 years');

-- Without its row a bucket is full.
DELETE FROM pgjobs.buckets
WHERE NOT (tokens BETWEEN -1e15 AND 1e15 AND at BETWEEN '1970-01-01 00:00+00' AND '9999-01-01 00:00+00');

ALTER TABLE pgjobs.buckets ADD CONSTRAINT buckets_range_check
    CHECK (tokens BETWEEN -1e15 AND 1e15 AND at BETWEEN '1970-01-01 00:00+00' AND '9999-01-01 00:00+00');

UPDATE pgjobs.breakers
SET period = least(greatest(period, '1 s'), '1 day'), cooldown = least(greatest(cooldown, '0.1 s'), '30 days'),
    min_calls = least(min_calls, 1000000), probes = least(probes, 1000)
WHERE NOT (period BETWEEN '1 s' AND '1 day' AND cooldown BETWEEN '0.1 s' AND '30 days' AND min_calls <= 1000000
           AND probes <= 1000);

ALTER TABLE pgjobs.breakers ADD CONSTRAINT breakers_range_check
    CHECK (period BETWEEN '1 s' AND '1 day' AND cooldown BETWEEN '0.1 s' AND '30 days' AND min_calls <= 1000000
           AND probes <= 1000);

-- The first job of a lane says for all of them which limit, sequence and breaker hold. So a lane that does not name the
-- job's own keys lifts those of others. What is there already gets the keys that its lane names.
UPDATE pgjobs.jobs_waiting
SET limit_key = nullif(split_part(lane, chr(31), 2), ''), sequence = nullif(split_part(lane, chr(31), 3), ''),
    breaker = nullif(split_part(lane, chr(31), 4), '')
WHERE limit_key IS DISTINCT FROM nullif(split_part(lane, chr(31), 2), '')
   OR sequence IS DISTINCT FROM nullif(split_part(lane, chr(31), 3), '')
   OR breaker IS DISTINCT FROM nullif(split_part(lane, chr(31), 4), '');

ALTER TABLE pgjobs.jobs_waiting ADD CONSTRAINT jobs_waiting_lane_keys_check CHECK (
    limit_key IS NOT DISTINCT FROM nullif(split_part(lane, chr(31), 2), '')
    AND sequence IS NOT DISTINCT FROM nullif(split_part(lane, chr(31), 3), '')
    AND breaker IS NOT DISTINCT FROM nullif(split_part(lane, chr(31), 4), '')
) NOT VALID;

ALTER TABLE pgjobs.jobs_waiting VALIDATE CONSTRAINT jobs_waiting_lane_keys_check;
