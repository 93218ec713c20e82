-- Enqueue jobs that have unique keys or wait for others, and check both.
-- It returns the ids of the jobs, in their order; one below 0 is that of a job which has the key already. Nothing is
-- inserted, and no transaction ends, when on_conflict is 'raise' and there is such a job (the others are 0 then), or
-- when a needed job does not exist (0 comes first then, and the ids that do not exist after it).
-- A needed job without a row may have completed, where a queue keeps nothing and its id was given out. Whether it has
-- is seen later (`in_doubt`), because another transaction may have inserted it and not committed yet.
-- A job has started when it runs, when an attempt counts, or when one began that does not count: then `prior_attempts`
-- is set (0 where there was no replay). One that was claimed and handed back, or parked, has not.
-- Plans are pinned: right after the tables have been filled, statistics would have them read as a whole. They are made
-- once in a session: for each call again took more than half of its time.
CREATE OR REPLACE FUNCTION pgjobs.enqueue_after_checks(
    new pgjobs.enqueue_columns, new_on_failure text, new_expires_at timestamptz, lanes text[], costs real[],
    summaries text[], signatures bytea[], payloads bytea[], keys text[], new_until_started boolean, period float8,
    on_conflict text, needed bigint[], if_failed text
) RETURNS SETOF bigint LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    is_later CONSTANT boolean := new.run_at > statement_timestamp();
    own bigint[] := '{}';
    missing bigint[];
    replaced text[];  -- the keys whose jobs were
    ids bigint[];  -- the answer
    made bigint[];  -- the id with which each is inserted; NULL: it is not
    tries integer := 0;
    inserted integer;
    ended bigint[];  -- of the needed ones: those in history
    done bigint[];  -- and those of them that have completed
    asked bigint[];  -- `needed` as it was given
    unseen bigint[] := '{}';  -- the needed ones without a row that may have completed
BEGIN
    IF needed IS NOT NULL THEN
        -- History is asked for those alone that are not live. Then they are looked at again, with a newer snapshot: a
        -- job may have been put back meanwhile. One that has ended between the two is seen by neither: so what seems
        -- to be missing is looked for again.
        asked := needed;
        FOR look IN 1..3 LOOP
            SELECT coalesce(array_agg(e.id), '{}'), coalesce(array_agg(e.id) FILTER (WHERE e.is_done), '{}')
            INTO ended, done
            FROM (SELECT f.id, bool_and(f.status = 'completed') AS is_done
                  FROM pgjobs.find_ended(ARRAY (
                      SELECT a.id FROM unnest(asked) AS a (id)
                      WHERE NOT EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = a.id)
                        AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = a.id))) AS f
                  GROUP BY f.id) AS e;
            SELECT array_agg(n.id) FILTER (WHERE n.is_live OR NOT n.id = ANY (done)),
                   array_agg(n.id) FILTER (WHERE NOT n.is_live AND NOT n.id = ANY (ended)
                                           AND NOT EXISTS (SELECT FROM pgjobs.dead_jobs AS d WHERE d.id = n.id))
            INTO needed, missing
            FROM (SELECT DISTINCT a.id, EXISTS (SELECT FROM pgjobs.jobs_live AS j WHERE j.id = a.id)
                         OR EXISTS (SELECT FROM pgjobs.jobs_waiting AS j WHERE j.id = a.id) AS is_live
                  FROM unnest(asked) AS a (id)) AS n;
            EXIT WHEN missing IS NULL;
        END LOOP;
        IF missing IS NOT NULL AND EXISTS (SELECT FROM pgjobs.queues AS q WHERE NOT q.keep_completed) THEN
            SELECT coalesce(array_agg(m.id) FILTER (WHERE m.is_given), '{}'),
                   array_agg(m.id) FILTER (WHERE NOT m.is_given)
            INTO unseen, missing
            FROM (SELECT a.id, a.id BETWEEN 1 AND coalesce(pg_sequence_last_value('pgjobs.jobs_id_seq'), 0) AS is_given
                  FROM unnest(missing) AS a (id)) AS m;
        END IF;
        IF missing IS NOT NULL THEN
            RETURN QUERY SELECT 0::bigint UNION ALL SELECT unnest(missing);
            RETURN;
        END IF;
    END IF;
    IF keys IS NULL THEN
        SELECT array_agg(nextval('pgjobs.jobs_id_seq')) INTO ids FROM generate_series(1, cardinality(payloads));
        made := ids;
    ELSE
        PERFORM pgjobs.lock_unique_keys(keys);
        -- What follows has a snapshot of its own: the transaction that had a key before has committed by now.
        WHILE on_conflict = 'replace' LOOP
            BEGIN
                WITH changed AS (
                    UPDATE pgjobs.jobs AS j
                    SET run_at = new.run_at, queue = new.queue, priority = new.priority,
                        max_attempts = new.max_attempts, timeout = new.timeout, executor = new.executor,
                        task = new.task, meta = new.meta, summary = a.summary, signature = a.signature,
                        payload = a.payload,
                        status = CASE WHEN a.lane IS NULL AND coalesce(j.held, '') <> 'task'
                                      THEN 'queued' ELSE 'waiting' END,
                        held = CASE WHEN j.held = 'task' THEN j.held
                                    WHEN a.lane IS NOT NULL AND is_later THEN 'later' END,
                        lane = a.lane, limit_key = nullif(split_part(a.lane, chr(31), 2), ''),
                        sequence = nullif(split_part(a.lane, chr(31), 3), ''),
                        breaker = nullif(split_part(a.lane, chr(31), 4), ''),
                        cost = a.cost, on_failure = new_on_failure, expires_at = new_expires_at
                    FROM (SELECT b.*, row_number() OVER (PARTITION BY b.key ORDER BY b.n DESC) AS from_last
                          FROM unnest(keys, lanes, costs, summaries, signatures, payloads) WITH ORDINALITY
                               AS b (key, lane, cost, summary, signature, payload, n)) AS a
                         JOIN pgjobs.unique_keys AS k ON k.key = a.key
                    WHERE a.from_last = 1 AND j.id = k.job_id AND j.status IN ('queued', 'waiting')
                      AND j.attempt = 0 AND j.prior_attempts IS NULL
                      -- Else the end of another job, which changes this row, would wait for this transaction.
                      AND coalesce(j.held, '') <> 'needs'
                    RETURNING a.key
                )
                SELECT array_agg(c.key) INTO replaced FROM changed AS c;
                EXIT;
            EXCEPTION WHEN serialization_failure THEN
                -- Its turn has come meanwhile: it is in another partition now.
                tries := tries + 1;
                IF tries >= 5 THEN
                    RAISE;
                END IF;
            END;
        END LOOP;
        WITH wanted AS (
            SELECT a.key, a.n, min(a.n) OVER w AS first, max(a.n) OVER w AS last
            FROM unnest(keys) WITH ORDINALITY AS a (key, n) WINDOW w AS (PARTITION BY a.key)
        ), held AS (
            SELECT w.*, CASE WHEN j.id IS NOT NULL OR k.held_until > clock_timestamp() THEN k.job_id END AS holder
            FROM wanted AS w JOIN pgjobs.unique_keys AS k ON k.key = w.key
                 LEFT JOIN pgjobs.jobs AS j
                 ON j.id = k.job_id AND j.status IN ('queued', 'waiting', 'running')
                    AND NOT (k.until_started
                             AND (j.status = 'running' OR j.attempt > 0 OR j.prior_attempts IS NOT NULL))
            ORDER BY w.n
        ), numbered AS MATERIALIZED (  -- in their order, because that is the order of a sequence
            SELECT h.*, CASE WHEN h.holder IS NULL AND h.n = h.first THEN nextval('pgjobs.jobs_id_seq') END AS fresh
            FROM held AS h
        ), decided AS (
            SELECT n.*, max(n.fresh) OVER (PARTITION BY n.key) AS taken FROM numbered AS n
        )
        SELECT array_agg(coalesce(d.fresh, - coalesce(d.taken, d.holder)) ORDER BY d.n),
               array_agg(CASE WHEN d.n = CASE on_conflict WHEN 'replace' THEN d.last ELSE d.first END
                              THEN d.taken END ORDER BY d.n)
        INTO ids, made FROM decided AS d;
        IF on_conflict = 'raise' AND 0 > ANY (ids) THEN
            RETURN QUERY SELECT least(a.id, 0) FROM unnest(ids) AS a (id);
            RETURN;
        END IF;
        IF replaced IS NULL AND array_remove(made, NULL) = '{}' THEN
            RETURN QUERY SELECT unnest(ids);
            RETURN;
        END IF;
        UPDATE pgjobs.unique_keys AS k
        SET job_id = coalesce(a.id, k.job_id), until_started = new_until_started,
            held_until = statement_timestamp() + period * interval '1 second'
        FROM (SELECT b.key, b.id FROM unnest(keys, made) AS b (key, id) WHERE b.id IS NOT NULL
              UNION ALL SELECT unnest(replaced), NULL) AS a
        WHERE k.key = a.key;
        IF replaced IS NOT NULL AND NOT is_later THEN
            PERFORM pgjobs.ring(pgjobs.doorbell_channel(new.queue))
            FROM pgjobs.queues AS q WHERE q.name = new.queue AND q.doorbell_until > clock_timestamp();
        END IF;
    END IF;
    INSERT INTO pgjobs.jobs (run_at, queue, priority, max_attempts, timeout, executor, task, meta,
                             id, summary, signature, payload, status, held, needs, lane, limit_key, sequence, breaker,
                             cost, on_failure, expires_at)
    SELECT new.*, a.id, a.summary, a.signature, a.payload,
           CASE WHEN a.lane IS NULL AND needed IS NULL THEN 'queued' ELSE 'waiting' END,
           CASE WHEN needed IS NOT NULL THEN 'needs' WHEN a.lane IS NOT NULL AND is_later THEN 'later' END,
           cardinality(needed), a.lane, nullif(split_part(a.lane, chr(31), 2), ''),
           nullif(split_part(a.lane, chr(31), 3), ''), nullif(split_part(a.lane, chr(31), 4), ''), a.cost,
           new_on_failure, new_expires_at
    FROM unnest(made, lanes, costs, summaries, signatures, payloads)
         AS a (id, lane, cost, summary, signature, payload)
    WHERE a.id IS NOT NULL;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF inserted <> cardinality(array_remove(made, NULL)) THEN
        RAISE EXCEPTION 'a trigger or rule of pgjobs.jobs has kept a job out'
            USING ERRCODE = 'triggered_action_exception';
    END IF;
    IF needed IS NOT NULL THEN
        -- Jobs that this transaction has inserted are visible to no other, so their rows are marked at once. The rows
        -- of other jobs are not touched, so that no one waits for this transaction; a worker marks them.
        SELECT coalesce(array_agg(j.id), '{}') INTO own FROM pgjobs.jobs AS j
        WHERE j.id = ANY (needed) AND j.status IN ('queued', 'waiting') AND j.claims = 0
          AND j.xmin = pg_current_xact_id()::xid;
        UPDATE pgjobs.jobs AS j SET dependents = true
        WHERE j.id = ANY (own) AND j.status IN ('queued', 'waiting') AND j.dependents IS NOT TRUE;
        INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure, settled, in_doubt)
        SELECT n.id, m.id, if_failed, n.id = ANY (own), CASE WHEN n.id = ANY (unseen) THEN 0 END
        FROM unnest(made) AS m (id), unnest(needed) AS n (id) WHERE m.id IS NOT NULL;
    END IF;
    RETURN QUERY SELECT unnest(ids);
END $$;
