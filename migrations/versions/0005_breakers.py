"""Circuit breakers: their settings, what they count, and who changed them.

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

from pgjobs.db.statements import rename_schema

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# `state` may still be open when `until` is over: then probes are let through, as when it is half-open.
_COLUMNS = {
    "forced": "boolean NOT NULL DEFAULT false",  # by an operator: calls do not change it
    # The settings, from the code; and `probes`, which is there.
    "failures": "double precision NOT NULL DEFAULT 0.5 CHECK (failures > 0 AND failures <= 1)",
    "period": "interval NOT NULL DEFAULT '30 s' CHECK (period > interval '0')",
    "min_calls": "integer NOT NULL DEFAULT 20 CHECK (min_calls > 0)",
    "cooldown": "interval NOT NULL DEFAULT '60 s' CHECK (cooldown > interval '0')",
    "passed": "integer NOT NULL DEFAULT 0 CHECK (passed >= 0)",  # probes that have succeeded
    # The window: [began (seconds since 1970), succeeded, failed] for each part of it.
    "calls": "jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(calls) = 'array')",
    "streak": "integer NOT NULL DEFAULT 0 CHECK (streak >= 0)",  # failures since the last success
    "changed_at": "timestamptz",
    "changed_by": "text",
    "reason": "text",
    "created_at": "timestamptz NOT NULL DEFAULT now()",
}
_ADD = ", ".join(f"ADD COLUMN {name} {type_}" for name, type_ in _COLUMNS.items())
_DROP = ", ".join(f"DROP COLUMN {name}" for name in _COLUMNS)

UPGRADE = [
    f"ALTER TABLE pgjobs.breakers {_ADD}, "
    "ADD CONSTRAINT breakers_until_check CHECK (state = 'closed' OR until IS NOT NULL)",
]

DOWNGRADE = [f"ALTER TABLE pgjobs.breakers DROP CONSTRAINT breakers_until_check, {_DROP}"]


def _run(statements: list[str]) -> None:
    schema = op.get_context().opts["version_table_schema"]
    for statement in statements:
        op.execute(rename_schema(statement, schema))


def upgrade() -> None:
    """Add the columns."""
    _run(UPGRADE)


def downgrade() -> None:
    """Drop them; the states stay."""
    _run(DOWNGRADE)
