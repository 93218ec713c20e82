"""${message}.

Revision ID: ${up_revision}
Revises: ${down_revision or "none"}
Create Date: ${create_date.date()}
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.migration_files import statements_of

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

# In upgrade.sql and downgrade.sql the schema is always written `pgjobs`.
FOLDER = Path(__file__).resolve().parents[1] / "sql" / Path(__file__).stem


def _run(name: str) -> None:
    for statement in statements_of(FOLDER, name, str(op.get_context().opts["version_table_schema"])):
        op.execute(statement)


def upgrade() -> None:
    """${message}."""
    _run("upgrade")


def downgrade() -> None:
    """Undo it."""
    _run("downgrade")
