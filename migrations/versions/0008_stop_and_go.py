"""Stop and go: the request to cancel what runs, paused tasks, and one switch for everything.

Revision ID: 0008
Revises: 0007
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = ("jobs", "dead_jobs")

UPGRADE = [
    # The request stands in the job's own row, so that whoever settles it meets it, whatever has died meanwhile.
    *(
        f"ALTER TABLE pgjobs.{table} ADD COLUMN cancel_reason text, ADD COLUMN cancel_force boolean"
        for table in _TABLES
    ),
    # By id: neither of the columns is changed by a claim or an acknowledgement, so theirs stay HOT.
    "CREATE INDEX jobs_live_cancel ON pgjobs.jobs_live (id) WHERE cancel_reason IS NOT NULL",
    # `patterns`: what `task` stands for, as LIKE takes it.
    """
    CREATE TABLE pgjobs.paused_tasks (
        task      text PRIMARY KEY CHECK (task <> '' AND length(task) <= 300),
        patterns  text[]      NOT NULL,
        paused_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # One row: whether anything is claimed at all.
    """
    CREATE TABLE pgjobs.switch (
        one       boolean PRIMARY KEY DEFAULT true CHECK (one),
        paused    boolean NOT NULL DEFAULT false,
        paused_at timestamptz
    )
    """,
    "INSERT INTO pgjobs.switch DEFAULT VALUES",
]

DOWNGRADE = [
    "DROP TABLE pgjobs.switch, pgjobs.paused_tasks",
    "DROP INDEX pgjobs.jobs_live_cancel",
    *(f"ALTER TABLE pgjobs.{table} DROP COLUMN cancel_reason, DROP COLUMN cancel_force" for table in _TABLES),
    # Nobody there knows of paused tasks, so nobody would put these back.
    "UPDATE pgjobs.jobs SET held = NULL, status = CASE WHEN lane IS NULL THEN 'queued' ELSE 'waiting' END "
    "WHERE status = 'waiting' AND held = 'task'",
]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Add the columns and the two tables."""
    _run(UPGRADE)


def downgrade() -> None:
    """Take them away; what was parked is queued again."""
    _run(DOWNGRADE)
