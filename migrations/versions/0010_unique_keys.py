"""Unique keys, jobs that wait for others, and a function that checks both when a job is enqueued.

Revision ID: 0010
Revises: 0009
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_CHECKED = (
    "text, smallint, timestamptz, integer, real, text, text, text, timestamptz, text[], real[], text[], bytea[], "
    "bytea[], text[], boolean, float8, text, bigint[], text"
)
_OLD_ENQUEUE = "text, jsonb, text, integer, timestamptz, interval, integer, interval, text"
_ENQUEUE = (
    f"{_OLD_ENQUEUE}, text, text, text, text, text, double precision, interval, text, text, interval, text, bigint[], "
    "text"
)

_COMMENT = "'Enqueue a call of a function that has @job(payload=\"json\"), and give the id of the job.'"
_PARAMETERS = """, tenant text DEFAULT NULL,
        limit_key text DEFAULT NULL, sequence text DEFAULT NULL, on_failure text DEFAULT 'block',
        breaker text DEFAULT NULL, cost double precision DEFAULT NULL, expires interval DEFAULT NULL,
        unique_key text DEFAULT NULL, unique_until text DEFAULT 'finished', unique_for interval DEFAULT NULL,
        on_conflict text DEFAULT 'skip', after bigint[] DEFAULT NULL, if_failed text DEFAULT 'wait'"""
_DECLARATIONS = """\
        lane text := CASE WHEN coalesce(tenant, limit_key, sequence, breaker, expires::text) IS NOT NULL THEN
            concat_ws(chr(31), coalesce(tenant, ''), coalesce(limit_key, ''), coalesce(sequence, ''),
                      coalesce(breaker, '')) END;
        given text;
        found bigint[];
"""
_CHECKS = """\
        ELSIF expires <= interval '0' OR unique_for <= interval '0' OR NOT coalesce(cost > 0 AND cost <= 1e6, true) THEN
            RAISE EXCEPTION 'expires, unique_for and cost are above 0, and cost is 1,000,000 at most'
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF on_failure IS NULL OR on_failure NOT IN ('block', 'skip', 'end') THEN
            RAISE EXCEPTION 'on_failure is block, skip or end' USING ERRCODE = 'invalid_parameter_value';
        ELSIF unique_until IS NULL OR unique_until NOT IN ('finished', 'started') THEN
            RAISE EXCEPTION 'unique_until is finished or started' USING ERRCODE = 'invalid_parameter_value',
                HINT = 'For a period, give unique_for.';
        ELSIF on_conflict IS NULL OR on_conflict NOT IN ('skip', 'replace', 'raise') THEN
            RAISE EXCEPTION 'on_conflict is skip, replace or raise' USING ERRCODE = 'invalid_parameter_value';
        ELSIF if_failed IS NULL OR if_failed NOT IN ('wait', 'run', 'cancel') THEN
            RAISE EXCEPTION 'if_failed is wait, run or cancel' USING ERRCODE = 'invalid_parameter_value';
        ELSIF on_conflict = 'replace' AND unique_key IS NOT NULL AND after <> '{}' THEN
            RAISE EXCEPTION 'on_conflict = replace and after were both given: use one'
                USING ERRCODE = 'invalid_parameter_value';
"""
_KEYS = """\
        FOREACH given IN ARRAY ARRAY[tenant, limit_key, sequence, breaker, unique_key] LOOP
            IF given = '' OR length(given) > 100 OR given ~ '[[:cntrl:]]' THEN
                RAISE EXCEPTION 'the key % can not be used', quote_literal(left(given, 100))
                    USING ERRCODE = 'invalid_parameter_value', HINT = 'Give 1 to 100 printable characters.';
            END IF;
        END LOOP;
"""
_CONTROLLED = """\
        IF coalesce(lane, cost::text, expires::text, unique_key, nullif(after, '{}')::text) IS NOT NULL THEN
            SELECT array_agg(e.id) INTO found
            FROM pgjobs.enqueue_checked(
                queue, priority::smallint, due, max_attempts, extract(epoch FROM timeout)::real, executor, task,
                CASE WHEN sequence IS NOT NULL THEN on_failure END, due + expires, ARRAY[lane], ARRAY[cost]::real[],
                ARRAY[shown], NULL, ARRAY[convert_to(args::text, 'UTF8')],
                CASE WHEN unique_key IS NOT NULL THEN ARRAY[unique_key] END, unique_until = 'started',
                extract(epoch FROM unique_for)::float8, on_conflict, nullif(after, '{}'), if_failed) AS e (id);
            IF found[1] = 0 THEN
                RAISE EXCEPTION 'there is no job %, which this one is to wait for', found[2]
                    USING ERRCODE = 'foreign_key_violation', HINT = 'Give ids of jobs that are still there.';
            ELSIF found[1] < 0 AND on_conflict = 'raise' THEN
                RAISE EXCEPTION 'job % has the key %', -found[1], quote_literal(unique_key)
                    USING ERRCODE = 'unique_violation', HINT = 'Leave on_conflict out to get the id of that job.';
            END IF;
            RETURN abs(found[1]);
        END IF;
"""


def _enqueue(parameters: str, declarations: str, checks: str, keys: str, controlled: str) -> str:
    """Give the function for who enqueues in SQL, with what it has beside a job's first options."""
    return rf"""
    CREATE FUNCTION pgjobs.enqueue(
        task text, args jsonb DEFAULT '[]', queue text DEFAULT 'default', priority integer DEFAULT 5,
        run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL, max_attempts integer DEFAULT 5,
        timeout interval DEFAULT NULL, executor text DEFAULT NULL{parameters}
    ) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    #variable_conflict use_variable
    DECLARE
        shown text;
        job bigint;
        due timestamptz := coalesce(run_at, statement_timestamp() + coalesce(delay, interval '0'));
{declarations}    BEGIN
        IF task IS NULL OR task !~ '^[^\s:]+:[^\s:]+$' THEN
            RAISE EXCEPTION 'task % is no name of a function', coalesce(quote_literal(task), 'NULL')
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Give module:function, such as shop.tasks:send.';
        ELSIF args IS NULL OR jsonb_typeof(args) NOT IN ('array', 'object') THEN
            RAISE EXCEPTION 'the arguments of % are neither an array nor an object', task
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Give [42] for arguments by position, {{"order_id": 42}} by name.';
        ELSIF jsonb_typeof(args) = 'object' AND coalesce(jsonb_typeof(args -> '*'), 'array') <> 'array' THEN
            RAISE EXCEPTION 'the arguments of % by position ("*") are no array', task
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Give {{"*": [42], "copy": true}}.';
        ELSIF run_at IS NOT NULL AND delay IS NOT NULL THEN
            RAISE EXCEPTION 'run_at and delay were both given: use one' USING ERRCODE = 'invalid_parameter_value';
        ELSIF delay < interval '0' THEN
            RAISE EXCEPTION 'delay is negative' USING ERRCODE = 'invalid_parameter_value';
{checks}        END IF;
{keys}        IF jsonb_typeof(args) = 'array' THEN
            SELECT string_agg(a.value::text, ', ') INTO shown FROM jsonb_array_elements(args) AS a;
        ELSE
            SELECT string_agg(a.key || '=' || CASE
                       WHEN a.key ~* 'passw|secret|token|api_?key|credential' THEN '***' ELSE a.value::text END, ', ')
            INTO shown FROM jsonb_each(args) AS a;
        END IF;
        shown := left(format('%s(%s)', split_part(task, ':', 2), shown), 200);
{controlled}        INSERT INTO pgjobs.jobs (queue, priority, run_at, max_attempts, timeout, executor, task, summary,
                                 payload)
        VALUES (queue, priority, due, max_attempts, extract(epoch FROM timeout), executor, task, shown,
                convert_to(args::text, 'UTF8'))
        RETURNING id INTO job;
        RETURN job;
    END $$
    """


UPGRADE = [
    # One row for each key that was used of late, whoever has it. Looked at when a job is enqueued, and never else.
    """
    CREATE TABLE pgjobs.unique_keys (
        key           text PRIMARY KEY CHECK (key <> '' AND length(key) <= 100),
        job_id        bigint,
        until_started boolean NOT NULL DEFAULT false,
        held_until    timestamptz
    ) WITH (fillfactor = 70)
    """,
    # Who may only enqueue inserts into this partition, and can not choose the status: the state of a job is not his.
    "ALTER TABLE pgjobs.jobs_waiting ALTER COLUMN status SET DEFAULT 'waiting'",
    # All callers lock the keys of one statement in the same order, so none of them waits for one that waits for it. The
    # update is never done; but the row is locked for it.
    """
    CREATE FUNCTION pgjobs.lock_unique_keys(keys text[]) RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        INSERT INTO pgjobs.unique_keys AS k (key)
        SELECT a.key FROM (SELECT DISTINCT unnest(keys) AS key) AS a ORDER BY a.key COLLATE "C"
        ON CONFLICT (key) DO UPDATE SET job_id = k.job_id WHERE false;
        RETURN cardinality(keys);
    END $$
    """,
    # The ids of the jobs, in their order; one below 0 is that of a job which has the key already. Nothing is inserted,
    # and nobody's transaction ends, when on_conflict is 'raise' and there is such a job (the others are 0 then), or
    # when a needed job does not exist (0 comes first then, and the ids that do not exist after it).
    # Plans are pinned: right after the tables have been filled, statistics would have them read as a whole. They are
    # made once in a session: for each call again took more than half of its time.
    """
    CREATE FUNCTION pgjobs.enqueue_checked(
        new_queue text, new_priority smallint, new_run_at timestamptz, new_max_attempts integer, new_timeout real,
        new_executor text, new_task text, new_on_failure text, new_expires_at timestamptz, lanes text[],
        costs real[], summaries text[], signatures bytea[], payloads bytea[], keys text[], new_until_started boolean,
        period float8, on_conflict text, needed bigint[], if_failed text
    ) RETURNS SETOF bigint LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    AS $$
    DECLARE
        is_later CONSTANT boolean := new_run_at > statement_timestamp();
        own bigint[] := '{}';
        missing bigint[];
        replaced text[];  -- the keys whose jobs were
        ids bigint[];  -- the answer
        made bigint[];  -- the id with which each is inserted; NULL: it is not
        tries integer := 0;
    BEGIN
        IF needed IS NOT NULL THEN
            SELECT array_agg(n.id) FILTER (WHERE NOT n.is_done), array_agg(n.id) FILTER (WHERE NOT n.is_there)
            INTO needed, missing
            FROM (SELECT DISTINCT a.id, EXISTS (SELECT FROM pgjobs.jobs AS j WHERE j.id = a.id)
                         OR EXISTS (SELECT FROM pgjobs.dead_jobs AS d WHERE d.id = a.id) AS is_there,
                         EXISTS (SELECT FROM pgjobs.jobs AS j WHERE j.id = a.id AND j.status = 'completed')
                         AND NOT EXISTS (SELECT FROM pgjobs.jobs AS j
                                         WHERE j.id = a.id AND j.status <> 'completed') AS is_done
                  FROM unnest(needed) AS a (id)) AS n;
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
            -- What follows has a snapshot of its own: whoever had a key before has committed by now.
            WHILE on_conflict = 'replace' LOOP
                BEGIN
                    WITH changed AS (
                        UPDATE pgjobs.jobs AS j
                        SET queue = new_queue, priority = new_priority, run_at = new_run_at,
                            max_attempts = new_max_attempts, timeout = new_timeout, executor = new_executor,
                            task = new_task, summary = a.summary, signature = a.signature, payload = a.payload,
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
                          AND j.claims = 0
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
                        AND NOT (k.until_started AND (j.status = 'running' OR j.claims > 0))
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
                PERFORM pg_notify(pgjobs.doorbell_channel(new_queue), '')
                FROM pgjobs.queues AS q WHERE q.name = new_queue AND q.doorbell_until > clock_timestamp();
            END IF;
        END IF;
        INSERT INTO pgjobs.jobs (id, queue, priority, run_at, max_attempts, timeout, executor, task, summary, signature,
                                 payload, status, held, needs, lane, limit_key, sequence, breaker, cost, on_failure,
                                 expires_at)
        SELECT a.id, new_queue, new_priority, new_run_at, new_max_attempts, new_timeout, new_executor, new_task,
               a.summary, a.signature, a.payload,
               CASE WHEN a.lane IS NULL AND needed IS NULL THEN 'queued' ELSE 'waiting' END,
               CASE WHEN needed IS NOT NULL THEN 'needs' WHEN a.lane IS NOT NULL AND is_later THEN 'later' END,
               cardinality(needed), a.lane, nullif(split_part(a.lane, chr(31), 2), ''),
               nullif(split_part(a.lane, chr(31), 3), ''), nullif(split_part(a.lane, chr(31), 4), ''), a.cost,
               new_on_failure, new_expires_at
        FROM unnest(made, lanes, costs, summaries, signatures, payloads)
             AS a (id, lane, cost, summary, signature, payload)
        WHERE a.id IS NOT NULL;
        IF needed IS NOT NULL THEN
            -- Those that this transaction has inserted nobody else sees: their rows can be told at once. The rows of
            -- the others are not touched, so that nobody waits for this transaction; a worker tells them.
            SELECT coalesce(array_agg(j.id), '{}') INTO own FROM pgjobs.jobs AS j
            WHERE j.id = ANY (needed) AND j.status IN ('queued', 'waiting') AND j.claims = 0
              AND j.xmin = pg_current_xact_id()::xid;
            UPDATE pgjobs.jobs AS j SET dependents = true
            WHERE j.id = ANY (own) AND j.status IN ('queued', 'waiting') AND j.dependents IS NOT TRUE;
            INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure, settled)
            SELECT n.id, m.id, if_failed, n.id = ANY (own)
            FROM unnest(made) AS m (id), unnest(needed) AS n (id) WHERE m.id IS NOT NULL;
        END IF;
        RETURN QUERY SELECT unnest(ids);
    END $$
    """,
    f"DROP FUNCTION pgjobs.enqueue({_OLD_ENQUEUE})",
    _enqueue(_PARAMETERS, _DECLARATIONS, _CHECKS, _KEYS, _CONTROLLED),
    f"COMMENT ON FUNCTION pgjobs.enqueue({_ENQUEUE}) IS {_COMMENT}",
]

DOWNGRADE = [
    f"DROP FUNCTION pgjobs.enqueue({_ENQUEUE})",
    _enqueue("", "", "", "", ""),
    f"COMMENT ON FUNCTION pgjobs.enqueue({_OLD_ENQUEUE}) IS {_COMMENT}",
    f"DROP FUNCTION pgjobs.enqueue_checked({_CHECKED})",
    "DROP FUNCTION pgjobs.lock_unique_keys(text[])",
    "ALTER TABLE pgjobs.jobs_waiting ALTER COLUMN status SET DEFAULT 'queued'",
    "DROP TABLE pgjobs.unique_keys",
]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Make the table and the functions."""
    _run(UPGRADE)


def downgrade() -> None:
    """Drop them; what waits for others waits on."""
    _run(DOWNGRADE)
