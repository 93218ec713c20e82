"""Effects exactly once: jobs complete themselves, report progress, and do steps once.

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0009_effects"


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """Add the fence of complete(), progress and steps."""
    _run("upgrade")


def downgrade() -> None:
    """Undo it."""
    _run("downgrade")
