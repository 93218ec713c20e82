"""${message}.

Revision ID: ${up_revision}
Revises: ${down_revision or "none"}
Create Date: ${create_date.date()}
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

# In these statements the schema is always written `pgjobs`.
UPGRADE: list[str] = []
DOWNGRADE: list[str] = []


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """${message}."""
    _run(UPGRADE)


def downgrade() -> None:
    """Undo it."""
    _run(DOWNGRADE)
