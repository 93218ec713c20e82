"""How numbers, times and texts are written on pages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pgjobs.core.text import escape_controls, short_duration

CAP = 10_000  # no count is shown beyond this
MAX_TEXT = 20_000  # characters of one text
NEVER = datetime.max.replace(tzinfo=UTC)


def count(number: int | None, *, cap: int = CAP, more: bool = False) -> str:
    """Write a number of things; `more`: there are more than were counted.

    >>> count(1234), count(10_001), count(500, more=True), count(None)
    ('1,234', '10,000+', '500+', '?')

    """
    if number is None:
        return "?"
    return f"{cap:,}+" if number > cap else f"{number:,}{'+' * more}"


def rate(per_second: float | None) -> str:
    """Write a rate per second, or per minute if it is low.

    >>> rate(0), rate(0.5), rate(1234.5), rate(None)
    ('0', '30/min', '1,234/s', '-')

    """
    if per_second is None:
        return "-"
    if per_second == 0:
        return "0"
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second * 60:.0f}/min"


def took(seconds: float | None) -> str:
    """Write a duration, if there is one."""
    return "-" if seconds is None else short_duration(max(seconds, 0.0))


def distance(moment: datetime, now: datetime) -> str:
    """Write how far a moment is from now.

    >>> distance(datetime(2026, 1, 1, 12, 0, tzinfo=UTC), datetime(2026, 1, 1, 12, 5, tzinfo=UTC))
    '5m ago'

    """
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"in {short_duration(-seconds)}" if seconds < 0 else f"{short_duration(seconds)} ago"


def utc(moment: datetime) -> str:
    """Write a moment, in UTC.

    >>> utc(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)), utc(NEVER)
    ('2026-01-02 03:04:05 UTC', 'never')

    """
    return "never" if moment >= NEVER else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def shown(value: str) -> str:
    r"""Return a text from a job as it can be shown: bounded, and without what moves or turns its surroundings.

    >>> shown("a\u202eb\x1b[31m")
    'a\\u202eb\\x1b[31m'

    """
    if len(value) > MAX_TEXT:
        head, tail = value[: MAX_TEXT // 4], value[-MAX_TEXT * 3 // 4 :]
        value = f"{head}\n… {len(value) - MAX_TEXT:,} characters left out …\n{tail}"
    return escape_controls(value)


def pretty_json(value: Any) -> str:
    """Write a value of JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def tries(attempt: int, most: int, prior: int | None) -> str:
    """Write the attempt and the budget, as counted since the last replay.

    >>> tries(2, 5, None), tries(6, 10, 5)
    ('2/5', '1/5')

    """
    before = prior or 0
    return f"{max(attempt - before, 0)}/{most - before}"
