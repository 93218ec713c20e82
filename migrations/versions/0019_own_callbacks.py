"""Callbacks of workflows are checked: they are of the transaction that makes the workflow, and can become jobs.

Revision ID: 0019
Revises: 0018
Create Date: 2026-12-01
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0019_own_callbacks"


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """Create the trigger."""
    _run("upgrade")


def downgrade() -> None:
    """Drop it."""
    _run("downgrade")
