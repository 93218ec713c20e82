"""A ring of the doorbell that costs a transaction as little as before the errors of rings were caught.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import functions_of, statements_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[1] / "sql"
FOLDER = SQL / "0004_cheaper_ring"
REPLACED = {"bell_is_armed", "is_to_ring", "ring_doorbell"}


def _schema() -> str:
    return str(op.get_context().opts["version_table_schema"])


def upgrade() -> None:
    """Replace the functions; no table is locked."""
    for statement in statements_of(FOLDER, "bell", _schema()):
        op.execute(statement)


def downgrade() -> None:
    """Bring the functions of 0003 back."""
    before = functions_of(SQL / "0003_bell_and_history", "bell", _schema(), REPLACED)
    for statement in [*statements_of(FOLDER, "drop", _schema()), *before]:
        op.execute(statement)
