"""Results: what jobs returned, in a table of its own, and a bell for those who wait for them.

Revision ID: 0010
Revises: 0009
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0010_results"


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """Create the table of results. The one lock on a table that is in use comes last, and is held for a moment."""
    for name in ("tables", "functions", "triggers"):
        _run(name)


def downgrade() -> None:
    """Drop it, with every result."""
    _run("drop")
