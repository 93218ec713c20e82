"""The tables and what belongs to them. The statements, and why they are so, are in `migrations/sql/0001_initial/`.

Revision ID: 0001
Revises: none
Create Date: 2026-11-22
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0001_initial"


def _run(name: str) -> None:
    """Run the statements of a file."""
    for statement in statements_of(FOLDER, name, op.get_context().opts["version_table_schema"]):
        op.execute(statement)


def upgrade() -> None:
    """Make the tables."""
    for name in ("tables", "partitions", "indexes", "functions", "inlined_functions", "triggers", "rows"):
        _run(name)


def downgrade() -> None:
    """Drop them, with every job in them."""
    _run("drop")
