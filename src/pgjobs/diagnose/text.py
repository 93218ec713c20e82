"""How times, numbers and names are written in the sentences of `why` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pgjobs.core.text import duration, listed

NEVER = datetime.max.replace(tzinfo=UTC)


def at(moment: datetime) -> str:
    """Write a moment, in UTC.

    >>> at(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
    '2026-01-02 03:04:05 UTC'

    """
    return "infinity" if moment >= NEVER else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago(now: datetime, moment: datetime) -> str:
    """Write how long ago a moment was, and when.

    >>> ago(datetime(2026, 1, 2, 3, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    '60 s ago, at 2026-01-02 03:04:00 UTC'

    """
    return f"{duration((now - moment).total_seconds())} ago, at {at(moment)}"


def jobs(ids: Sequence[int]) -> str:
    """Name jobs by their ids.

    >>> jobs([7]), jobs([7, 8])
    ('job 7', 'jobs 7, 8')

    """
    return f"job{'' if len(ids) == 1 else 's'} {listed(ids)}"
