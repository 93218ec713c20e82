"""Schedules: what is to be enqueued when, and which supervisors have declared them in their code.

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What Python has a datetime for, in every time zone.
_MOMENT = "CHECK ({column} >= '1970-01-01 00:00+00' AND {column} < '9999-01-01 00:00+00')"

UPGRADE = [
    # From `queue` on it is the job that a firing inserts. `app`: whose code declares it; NULL: an operator's.
    f"""
    CREATE TABLE pgjobs.schedules (
        name         text PRIMARY KEY CHECK (name <> '' AND length(name) <= 200),
        app          text CHECK (app <> '' AND length(app) <= 100),
        cron         text        NOT NULL CHECK (length(cron) <= 200),
        tz           text        NOT NULL DEFAULT 'UTC' CHECK (length(tz) <= 100),
        missed       text        NOT NULL DEFAULT 'once' CHECK (missed IN ('skip', 'once', 'all')),
        overlap      text        NOT NULL DEFAULT 'allow' CHECK (overlap IN ('allow', 'skip')),
        paused_at    timestamptz,
        retired_at   timestamptz,
        next_at      timestamptz {_MOMENT.format(column="next_at")},
        last_at      timestamptz {_MOMENT.format(column="last_at")},
        last_job_id  bigint,
        error        text,
        created_at   timestamptz NOT NULL DEFAULT now(),
        updated_at   timestamptz NOT NULL DEFAULT now(),
        digest       bytea,
        queue        text        NOT NULL DEFAULT 'default',
        priority     smallint    NOT NULL DEFAULT 5,
        max_attempts integer     NOT NULL DEFAULT 5,
        timeout      real,
        executor     text,
        task         text        NOT NULL,
        summary      text,
        options      jsonb       NOT NULL DEFAULT '{{}}',
        signature    bytea,
        payload      bytea       NOT NULL
    ) WITH (fillfactor = 70)
    """,
    # A row for each supervisor that imports code, for as long as what it has declared may count.
    """
    CREATE TABLE pgjobs.schedule_declarers (
        id         uuid PRIMARY KEY,
        role       text        NOT NULL,
        names      text[]      NOT NULL,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        ended_at   timestamptz
    )
    """,
]

DOWNGRADE = ["DROP TABLE pgjobs.schedule_declarers, pgjobs.schedules"]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Add the tables."""
    _run(UPGRADE)


def downgrade() -> None:
    """Drop them, with all schedules; those in code are declared again after the next upgrade."""
    _run(DOWNGRADE)
