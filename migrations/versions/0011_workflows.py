"""Workflows: which job is which step, how far each workflow has come, signals and callbacks.

Revision ID: 0011
Revises: 0010
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0011_workflows"


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """Create the tables. Two that are in use are locked for a moment, to let more values into them."""
    for name in ("tables", "functions"):
        _run(name)


def downgrade() -> None:
    """Drop them; the jobs that were steps stay."""
    _run("drop")
