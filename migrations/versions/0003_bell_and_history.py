"""A doorbell that nothing fails because of, look-ups in history that lock few days, and ids that are given out again.

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import functions_of, keeping_rights, statements_of

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[1] / "sql"
FOLDER = SQL / "0003_bell_and_history"
REPLACED = {"create_history_partition", "is_to_ring", "ring_doorbell", "enqueue_after_checks", "enqueue"}


def _schema() -> str:
    return str(op.get_context().opts["version_table_schema"])


def upgrade() -> None:
    """Replace functions, and give each day of history what LIKE did not copy. Locks of tables come last."""
    made = [each for name in ("bell", "history", "ids", "enqueue") for each in statements_of(FOLDER, name, _schema())]
    for statement in [*keeping_rights(made, _schema()), *statements_of(FOLDER, "upgrade", _schema())]:
        op.execute(statement)


def downgrade() -> None:
    """Bring the functions of 0002 back. The days keep what they were given."""
    before = list(functions_of(SQL / "0001_initial", "functions", _schema(), REPLACED))
    after = [each for name in ("settings", "drop") for each in statements_of(FOLDER, name, _schema())]
    invoker = statements_of(FOLDER, "invoker", _schema())  # first, or the rights of the owner would be kept
    for statement in [*invoker, *keeping_rights(before, _schema()), *after]:
        op.execute(statement)
