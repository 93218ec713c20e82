"""Limits that the code declares: what it wrote last, so that what somebody changed since is told from it.

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# [concurrency, rate, seconds of the period, burst] as the code wrote them; NULL: it never did.
UPGRADE = [
    "ALTER TABLE pgjobs.limits ADD COLUMN declared jsonb",
    "ALTER TABLE pgjobs.queues ADD COLUMN declared jsonb, "
    "ADD CONSTRAINT queues_period_with_rate CHECK ((rate IS NULL) = (period IS NULL))",
]

DOWNGRADE = [
    "ALTER TABLE pgjobs.queues DROP CONSTRAINT queues_period_with_rate, DROP COLUMN declared",
    "ALTER TABLE pgjobs.limits DROP COLUMN declared",
]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Add the columns."""
    _run(UPGRADE)


def downgrade() -> None:
    """Drop them: what the code declared is as if operators had set it."""
    _run(DOWNGRADE)
