"""What a worker says of itself, for who asks why a job does not run.

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Written once, when a worker registers. NULL: a worker of an older version.
_COLUMNS = {
    "rescue_after": "real",  # seconds of silence after which its supervisor takes another worker for dead
    "signs": "boolean",  # it has a signing key
    "pooled": "boolean",  # a connection pooler stands between it and PostgreSQL
    "clock_ahead": "real",  # seconds by which its machine's clock was ahead of PostgreSQL's
}

UPGRADE = ["ALTER TABLE pgjobs.workers " + ", ".join(f"ADD COLUMN {name} {type_}" for name, type_ in _COLUMNS.items())]
DOWNGRADE = ["ALTER TABLE pgjobs.workers " + ", ".join(f"DROP COLUMN {name}" for name in _COLUMNS)]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Add the columns."""
    _run(UPGRADE)


def downgrade() -> None:
    """Drop them."""
    _run(DOWNGRADE)
