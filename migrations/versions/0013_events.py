"""Events: subscriptions, the jobs of what is published, and topics that keep their events.

Revision ID: 0013
Revises: 0012
Create Date: 2026-12-01
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0013_events"


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """Create the tables and functions. The one lock on a table that is in use comes last, and is held for a moment."""
    for name in ("tables", "functions", "owners"):
        _run(name)


def downgrade() -> None:
    """Drop them, with every subscription and every event that is kept. Their jobs stay."""
    _run("drop")
