"""Unique keys that know which jobs have started, dependencies in doubt, and lanes that name the keys of their jobs.

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import functions_of, keeping_rights, statements_of

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parents[1] / "sql"
FOLDER = SQL / "0007_trusted_rows"
REPLACED = {"enqueue_after_checks"}


def _schema() -> str:
    return str(op.get_context().opts["version_table_schema"])


def upgrade() -> None:
    """Replace the function that enqueues after checks. Rows and locks of tables come last."""
    made = statements_of(FOLDER, "enqueue", _schema())
    for statement in [*keeping_rights(made, _schema()), *statements_of(FOLDER, "upgrade", _schema())]:
        op.execute(statement)


def downgrade() -> None:
    """Bring the function of 0003 back."""
    before = list(functions_of(SQL / "0003_bell_and_history", "enqueue", _schema(), REPLACED))
    for statement in [*keeping_rights(before, _schema()), *statements_of(FOLDER, "downgrade", _schema())]:
        op.execute(statement)
