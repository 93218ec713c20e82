"""How times, numbers and names are written in the sentences of `why` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

NEVER = datetime.max.replace(tzinfo=UTC)
_UNITS = (("day", 86400.0), ("h", 3600.0), ("min", 60.0))


def span(seconds: float) -> str:
    """Write a time span for a sentence.

    >>> span(0.84), span(47), span(200), span(7300), span(86400 * 3)
    ('0.8 s', '47 s', '3 min', '2 h', '3 days')

    """
    seconds = max(0.0, seconds)
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}{'s' if unit == 'day' else ''}"
    return f"{seconds:.0f} s" if seconds >= 9.95 or seconds < 0.05 or seconds == int(seconds) else f"{seconds:.1f} s"


def at(moment: datetime) -> str:
    """Write a moment, in UTC.

    >>> at(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
    '2026-01-02 03:04:05 UTC'

    """
    return "infinity" if moment >= NEVER else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def count(number: int, noun: str, *, cap: int | None = None) -> str:
    """Write a number with its noun; at the cap there may be more.

    >>> count(1, "job"), count(2500, "job"), count(100, "job", cap=100)
    ('1 job', '2,500 jobs', '100 jobs or more')

    """
    more = " or more" if cap is not None and number >= cap else ""
    return f"{number:,} {noun}{'' if number == 1 else 's'}{more}"


def listed(items: Sequence[object], most: int = 5) -> str:
    """Write a list, and how many more there are than are shown.

    >>> listed([1, 2, 3]), listed(range(9), 2)
    ('1, 2, 3', '0, 1 and 7 more')

    """
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most:,} more"


def jobs(ids: Sequence[int]) -> str:
    """Name jobs by their ids.

    >>> jobs([7]), jobs([7, 8])
    ('job 7', 'jobs 7, 8')

    """
    return f"job{'' if len(ids) == 1 else 's'} {listed(ids)}"
