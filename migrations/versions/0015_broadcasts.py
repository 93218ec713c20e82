"""Broadcasts: what every live worker process, or one of each host, runs once.

Revision ID: 0015
Revises: 0014
Create Date: 2026-12-01
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0015_broadcasts"


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """Create the tables and functions. The triggers on a table that is in use come last: their lock is held briefly."""
    for name in ("tables", "functions", "workers"):
        _run(name)


def downgrade() -> None:
    """Drop them, with what is known of every broadcast."""
    _run("drop")
