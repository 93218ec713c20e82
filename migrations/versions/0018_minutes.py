"""Minutes: what happened in queues, minute by minute; and how late a queue may be.

Revision ID: 0018
Revises: 0017
Create Date: 2026-12-01
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0018_minutes"


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """Create the tables and the functions."""
    for name in ("tables", "functions"):
        _run(name)


def downgrade() -> None:
    """Drop them, with what they say."""
    _run("drop")
