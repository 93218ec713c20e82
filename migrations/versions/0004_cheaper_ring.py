"""A ring of the doorbell that costs a transaction as little as before the errors of rings were caught.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import functions_of, keeping_rights, statements_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[1] / "sql"


def _schema() -> str:
    return str(op.get_context().opts["version_table_schema"])


def upgrade() -> None:
    """Replace the function; no table is locked."""
    for statement in keeping_rights(statements_of(SQL / "0004_cheaper_ring", "bell", _schema()), _schema()):
        op.execute(statement)


def downgrade() -> None:
    """Bring the function of 0003 back."""
    before = list(functions_of(SQL / "0003_bell_and_history", "bell", _schema(), {"ring_doorbell"}))
    for statement in keeping_rights(before, _schema()):
        op.execute(statement)
