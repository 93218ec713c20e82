"""Rows that a transaction of others holds: the end of a sequence is finished later.

Revision ID: 0008
Revises: 0007
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0008_held_rows"


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """Add the mark of a sequence that has not ended completely, and what claims share."""
    _run("upgrade")


def downgrade() -> None:
    """Undo it."""
    _run("downgrade")
