"""How statements of operations and of `why` read timestamps: in UTC, whatever the session's time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import DataError
from psycopg.types.datetime import TimestamptzBinaryLoader

if TYPE_CHECKING:
    from psycopg.abc import Buffer


class UtcTimestamps(TimestamptzBinaryLoader):
    """Timestamps in UTC; those that Python has no datetime for (`infinity`) become its last or first one."""

    def load(self, data: Buffer) -> datetime:
        """Read a value as PostgreSQL sends it: the microseconds since 2000, in eight bytes."""
        try:
            return super().load(data).astimezone(UTC)
        except (DataError, OverflowError):
            is_past = bytes(data)[0] >= 0x80  # the sign
            return datetime.min.replace(tzinfo=UTC) if is_past else datetime.max.replace(tzinfo=UTC)
