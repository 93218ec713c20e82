-- Make a workflow, and return its id; below 0: that of an unfinished one which has the key. The steps come after it, in
-- the same transaction.
CREATE FUNCTION pgjobs.add_workflow(new_name text, new_key text, new_steps bigint, new_active bigint) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    FOR try IN 1..20 LOOP
        INSERT INTO pgjobs.workflows (name, key, steps, active)
        VALUES (new_name, new_key, new_steps, new_active)
        ON CONFLICT (key) WHERE key IS NOT NULL AND ended_at IS NULL DO NOTHING
        RETURNING id INTO found;
        IF found IS NOT NULL THEN
            RETURN found;
        END IF;
        SELECT w.id INTO found FROM pgjobs.workflows AS w WHERE w.key = new_key AND w.ended_at IS NULL;
        IF found IS NOT NULL THEN
            RETURN -found;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'the key % is taken again and again', quote_literal(new_key)
        USING ERRCODE = 'serialization_failure';
END $$;

-- Enqueue steps of one callable: their jobs, which step each of them is, and what waits for what. All rows of a step
-- say that others depend on it, because its workflow does: so its end is never written without looking at that.
-- `edge_needs` to `edge_if_failed`: dependencies, of these steps or of others of the same workflow.
CREATE FUNCTION pgjobs.add_steps(
    new pgjobs.enqueue_columns, new_on_failure text, new_expires_at timestamptz, lanes text[], costs real[],
    summaries text[], signatures bytea[], payloads bytea[],
    workflow bigint, job_ids bigint[], nodes bigint[], ns integer[], kinds text[], parents bigint[],
    if_failed text[], names text[], node_needs text[], needed integer[],
    edge_needs bigint[], edge_jobs bigint[], edge_if_failed text[]
) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_later CONSTANT boolean := new.run_at > statement_timestamp();
    inserted bigint;
BEGIN
    INSERT INTO pgjobs.jobs (run_at, queue, priority, max_attempts, timeout, executor, task, meta,
                             id, summary, signature, payload, status, held, needs, dependents, lane, limit_key,
                             sequence, breaker, cost, on_failure, expires_at)
    SELECT new.*, a.id, a.summary, a.signature, a.payload,
           CASE WHEN a.lane IS NULL AND a.needed = 0 THEN 'queued' ELSE 'waiting' END,
           CASE WHEN a.needed > 0 THEN 'needs' WHEN a.lane IS NOT NULL AND is_later THEN 'later' END,
           nullif(a.needed, 0), true, a.lane, nullif(split_part(a.lane, chr(31), 2), ''),
           nullif(split_part(a.lane, chr(31), 3), ''), nullif(split_part(a.lane, chr(31), 4), ''), a.cost,
           new_on_failure, new_expires_at
    FROM unnest(job_ids, lanes, costs, summaries, signatures, payloads, needed)
         AS a (id, lane, cost, summary, signature, payload, needed);
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF inserted <> cardinality(job_ids) THEN
        RAISE EXCEPTION 'a trigger or rule of pgjobs.jobs has kept a job out'
            USING ERRCODE = 'triggered_action_exception';
    END IF;
    INSERT INTO pgjobs.workflow_steps (job_id, workflow_id, node, n, kind, parent, if_failed, name, needs)
    SELECT a.id, workflow, a.node, a.n, a.kind, a.parent, a.if_failed, a.name, a.needs::bigint[]
    FROM unnest(job_ids, nodes, ns, kinds, parents, if_failed, names, node_needs)
         AS a (id, node, n, kind, parent, if_failed, name, needs);
    INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure, settled)
    SELECT a.needs_id, a.job_id, a.on_failure, true
    FROM unnest(edge_needs, edge_jobs, edge_if_failed) AS a (needs_id, job_id, on_failure);
    RETURN inserted;
END $$;

-- Store a job that is to be enqueued at the end of a workflow.
CREATE FUNCTION pgjobs.add_callback(
    new pgjobs.enqueue_columns, new_on_failure text, workflow bigint, kind text, lane text, cost real, summary text,
    signature bytea, payload bytea
) RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO pgjobs.workflow_callbacks (
        workflow_id, kind, queue, priority, max_attempts, timeout, executor, task, meta, lane, cost, on_failure,
        summary, signature, payload)
    VALUES (workflow, kind, (new).queue, (new).priority, (new).max_attempts, (new).timeout, (new).executor,
            (new).task, (new).meta, lane, cost, new_on_failure, summary, signature, payload)
    RETURNING id
$$;

-- Enqueue what a workflow calls at its end: a row that is stored becomes a job, so there is never a second one.
CREATE FUNCTION pgjobs.call_back(workflow bigint, wanted text) RETURNS SETOF bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (
        DELETE FROM pgjobs.workflow_callbacks AS c
        WHERE c.workflow_id = workflow AND c.kind = wanted
        RETURNING c.*, nextval('pgjobs.jobs_id_seq') AS job
    ), jobs AS (
        INSERT INTO pgjobs.jobs (id, queue, priority, max_attempts, timeout, executor, task, meta, summary, signature,
                                 payload, status, lane, limit_key, sequence, breaker, cost, on_failure)
        SELECT job, queue, priority, max_attempts, timeout, executor, task, meta, summary, signature, payload,
               CASE WHEN lane IS NULL THEN 'queued' ELSE 'waiting' END, lane, nullif(split_part(lane, chr(31), 2), ''),
               nullif(split_part(lane, chr(31), 3), ''), nullif(split_part(lane, chr(31), 4), ''), cost, on_failure
        FROM gone
        RETURNING 1
    )
    INSERT INTO pgjobs.workflow_steps (job_id, workflow_id, node, kind, name)
    SELECT job, workflow_id, job, kind, left(regexp_replace(task, '^.*[.:]', ''), 200)
    FROM gone
    WHERE pgjobs.all_kept((SELECT count(*) FROM gone), (SELECT count(*) FROM jobs))
    RETURNING job_id
$$;

-- A workflow whose maps were all empty has completed.
CREATE FUNCTION pgjobs.end_empty_workflow(workflow bigint) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE pgjobs.workflows AS w
    SET status = 'completed', ended_at = statement_timestamp()
    WHERE w.id = workflow AND w.steps = 0 AND w.status = 'running';
    IF FOUND THEN
        PERFORM pgjobs.call_back(workflow, 'on_completed');
        DELETE FROM pgjobs.workflow_callbacks AS c WHERE c.workflow_id = workflow;
    END IF;
    RETURN workflow;
END $$;

-- Say something to a job or a workflow. False: that was said before, and the first one counts.
CREATE FUNCTION pgjobs.signal(to_kind text, to_id bigint, name text, payload jsonb DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    INSERT INTO pgjobs.signals (kind, target, name, payload) VALUES (to_kind, to_id, name, payload)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pgjobs.ring(pgjobs.doorbell_channel(q.name))
    FROM pgjobs.queues AS q
    WHERE q.doorbell_until > clock_timestamp()
      AND q.name IN (SELECT j.queue
                     FROM pgjobs.waits AS w JOIN pgjobs.jobs AS j ON j.id = w.job_id
                     WHERE w.signal = name AND j.status IN ('queued', 'waiting')
                       AND CASE to_kind WHEN 'job' THEN w.job_id = to_id ELSE w.workflow_id = to_id END);
    RETURN true;
END $$;

COMMENT ON FUNCTION pgjobs.signal
    IS 'Say something to a job or a workflow: SELECT pgjobs.signal(''workflow'', 42, ''approved'', ''{}'').';

-- A role that may enqueue jobs after checks may enqueue workflows, in the same way: with the rights of the owner, where
-- it has no others.
DO $$
DECLARE
    old record;
    given record;
    functions CONSTANT text := 'pgjobs.add_workflow, pgjobs.add_steps, pgjobs.add_callback, pgjobs.end_empty_workflow, '
                               'pgjobs.signal';
    function text;
BEGIN
    SELECT f.prosecdef AS is_definer, f.proacl, f.proowner INTO old
    FROM pg_catalog.pg_proc AS f
    WHERE f.pronamespace = 'pgjobs'::regnamespace AND f.proname = 'enqueue_after_checks';
    IF NOT old.is_definer THEN
        RETURN;
    END IF;
    FOREACH function IN ARRAY string_to_array(functions, ', ') LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', function);
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function);
    END LOOP;
    FOR given IN
        SELECT a.grantee::regrole::text AS role
        FROM pg_catalog.aclexplode(old.proacl) AS a
        WHERE a.grantee NOT IN (0, old.proowner) AND a.privilege_type = 'EXECUTE'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', functions, given.role);
    END LOOP;
END $$;
