"""A function for who enqueues in SQL: JSON arguments, for jobs with `payload="json"`. And no function looks names up.

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SIGNATURE = "text, jsonb, text, integer, timestamptz, interval, integer, interval, text"

# Functions run with the rights of who calls them, and look names up on the search_path of who calls them: somebody who
# may create functions in one of its schemas could have others run them (CVE-2018-1058). What runs for each row of an
# INSERT names everything in full, which costs nothing. SET search_path costs 0.14 µs a call: 3 to 7 % of an INSERT of
# 1,000 rows while the doorbell is armed. It is for the functions that are called once in a while.
_NAMED_IN_FULL = [
    """
    CREATE OR REPLACE FUNCTION pgjobs.doorbell_channel(queue text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT pg_catalog.left('pgjobs', 20) OPERATOR(pg_catalog.||) ':' OPERATOR(pg_catalog.||) pg_catalog.md5(queue)
    $$
    """,
    """
    CREATE OR REPLACE FUNCTION pgjobs.is_to_ring(queue text, run_at timestamptz, status text) RETURNS boolean
    LANGUAGE plpgsql AS $$
    BEGIN
        IF pg_catalog.current_setting('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', true)
                   OPERATOR(pg_catalog.=) queue
                OR status OPERATOR(pg_catalog.<>) 'queued'
                OR run_at OPERATOR(pg_catalog.>)
                   (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '2 s') THEN
            RETURN false;
        END IF;
        PERFORM pg_catalog.set_config('doorbell.asked_in_' OPERATOR(pg_catalog.||) 'pgjobs', queue, true);
        RETURN EXISTS (SELECT FROM pgjobs.queues AS q
                       WHERE q.name OPERATOR(pg_catalog.=) is_to_ring.queue
                         AND q.doorbell_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp());
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION pgjobs.ring_doorbell() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        channel CONSTANT pg_catalog.text := pgjobs.doorbell_channel(NEW.queue);
    BEGIN
        IF pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(channel, 0::bigint)) THEN
            PERFORM pg_catalog.pg_notify(channel, ''::pg_catalog.text);
        END IF;
        RETURN NULL;
    END $$
    """,
    *(
        f"ALTER FUNCTION pgjobs.{name}_history_partition(date) SET search_path = pg_catalog, pg_temp"
        for name in ("make", "drop")
    ),
]

UPGRADE = [
    *_NAMED_IN_FULL,
    # With the rights of who calls it. The summary is like that of `enqueue` in Python, as far as it is known here what
    # the arguments are called.
    r"""
    CREATE FUNCTION pgjobs.enqueue(
        task text, args jsonb DEFAULT '[]', queue text DEFAULT 'default', priority integer DEFAULT 5,
        run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL, max_attempts integer DEFAULT 5,
        timeout interval DEFAULT NULL, executor text DEFAULT NULL
    ) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    #variable_conflict use_variable
    DECLARE
        shown text;
        job bigint;
    BEGIN
        IF task IS NULL OR task !~ '^[^\s:]+:[^\s:]+$' THEN
            RAISE EXCEPTION 'task % is no name of a function', coalesce(quote_literal(task), 'NULL')
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Give module:function, such as shop.tasks:send.';
        ELSIF args IS NULL OR jsonb_typeof(args) NOT IN ('array', 'object') THEN
            RAISE EXCEPTION 'the arguments of % are neither an array nor an object', task
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Give [42] for arguments by position, {"order_id": 42} by name.';
        ELSIF jsonb_typeof(args) = 'object' AND coalesce(jsonb_typeof(args -> '*'), 'array') <> 'array' THEN
            RAISE EXCEPTION 'the arguments of % by position ("*") are no array', task
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Give {"*": [42], "copy": true}.';
        ELSIF run_at IS NOT NULL AND delay IS NOT NULL THEN
            RAISE EXCEPTION 'run_at and delay were both given: use one' USING ERRCODE = 'invalid_parameter_value';
        ELSIF delay < interval '0' THEN
            RAISE EXCEPTION 'delay is negative' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF jsonb_typeof(args) = 'array' THEN
            SELECT string_agg(a.value::text, ', ') INTO shown FROM jsonb_array_elements(args) AS a;
        ELSE
            SELECT string_agg(a.key || '=' || CASE
                       WHEN a.key ~* 'passw|secret|token|api_?key|credential' THEN '***' ELSE a.value::text END, ', ')
            INTO shown FROM jsonb_each(args) AS a;
        END IF;
        INSERT INTO pgjobs.jobs (queue, priority, run_at, max_attempts, timeout, executor, task, summary, payload)
        VALUES (queue, priority, coalesce(run_at, statement_timestamp() + coalesce(delay, interval '0')), max_attempts,
                extract(epoch FROM timeout), executor, task,
                left(format('%s(%s)', split_part(task, ':', 2), shown), 200), convert_to(args::text, 'UTF8'))
        RETURNING id INTO job;
        RETURN job;
    END $$
    """,
    f"COMMENT ON FUNCTION pgjobs.enqueue({_SIGNATURE}) IS "
    "'Enqueue a call of a function that has @job(payload=\"json\"), and give the id of the job.'",
]

# Those of history keep their search_path: with roles they run with the rights of the owner, and need it.
DOWNGRADE = [
    f"DROP FUNCTION pgjobs.enqueue({_SIGNATURE})",
    """
    CREATE OR REPLACE FUNCTION pgjobs.doorbell_channel(queue text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT left('pgjobs', 20) || ':' || md5(queue) $$
    """,
    """
    CREATE OR REPLACE FUNCTION pgjobs.is_to_ring(queue text, run_at timestamptz, status text) RETURNS boolean
    LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('doorbell.asked_in_' || 'pgjobs', true) = queue OR status <> 'queued'
                OR run_at > clock_timestamp() + interval '2 s' THEN
            RETURN false;
        END IF;
        PERFORM set_config('doorbell.asked_in_' || 'pgjobs', queue, true);
        RETURN EXISTS (SELECT FROM pgjobs.queues AS q
                       WHERE q.name = is_to_ring.queue AND q.doorbell_until > clock_timestamp());
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION pgjobs.ring_doorbell() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        channel text := pgjobs.doorbell_channel(NEW.queue);
    BEGIN
        IF pg_try_advisory_xact_lock(hashtextextended(channel, 0)) THEN
            PERFORM pg_notify(channel, '');
        END IF;
        RETURN NULL;
    END $$
    """,
]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Make the function, and name things in full in the others."""
    _run(UPGRADE)


def downgrade() -> None:
    """Drop it, and look names up again."""
    _run(DOWNGRADE)
