"""A function for who enqueues in SQL, or in another language: JSON arguments, for jobs with `payload="json"`.

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

UPGRADE = [
    # With the rights of who calls it. The summary is like that of `enqueue` in Python, as far as it is known here what
    # the arguments are called.
    r"""
    CREATE FUNCTION pgjobs.enqueue(
        task text, args jsonb DEFAULT '[]', queue text DEFAULT 'default', priority integer DEFAULT 5,
        run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL, max_attempts integer DEFAULT 5,
        timeout interval DEFAULT NULL, executor text DEFAULT NULL
    ) RETURNS bigint LANGUAGE plpgsql AS $$
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

DOWNGRADE = [f"DROP FUNCTION pgjobs.enqueue({_SIGNATURE})"]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Make the function."""
    _run(UPGRADE)


def downgrade() -> None:
    """Drop it."""
    _run(DOWNGRADE)
