"""Pipelines: what code declares of them, and how much room their stages have.

Revision ID: 0016
Revises: 0015
Create Date: 2026-12-01
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0016_pipelines"


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """Create the tables and the function. What locks tables that are in use comes last."""
    for name in ("tables", "functions", "waiting"):
        _run(name)


def downgrade() -> None:
    """Drop them. Items that wait stay jobs, which workers of the version before cannot load."""
    _run("drop")
