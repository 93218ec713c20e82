"""Moves that fail where a row would be kept out, and listings that lock few days of history.

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0005_kept_rows"


def upgrade() -> None:
    """Create functions. No table is locked."""
    _run("moves", "listings")


def downgrade() -> None:
    """Drop them."""
    _run("drop")


def _run(*names: str) -> None:
    for name in names:
        for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
            op.execute(statement)
