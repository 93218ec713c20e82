"""Hold under any settings and encoding of the database, and with several schemas whose names begin alike.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-30
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "0002_any_settings_and_encoding"


def _run(name: str) -> None:
    """Run the statements of a file: an empty line comes after each, and none is inside of one."""
    schema = op.get_context().opts["version_table_schema"]
    text = (FOLDER / f"{name}.sql").read_text("ascii")
    for statement in text.rstrip(";\n").split(";\n\n"):
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Replace a function, and say which settings others need."""
    _run("upgrade")


def downgrade() -> None:
    """Take it back."""
    _run("downgrade")
