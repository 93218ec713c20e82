"""Durations as people write them: "90s", "30min", "12h", "7d", "2w"."""

from __future__ import annotations

import re

from pgjobs.core.errors import UsageError
from pgjobs.core.validate import as_seconds, as_str, check_seconds, shown

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_TEXT = re.compile(rf"(\d{{1,9}})\s*({'|'.join(_UNITS)})", re.ASCII)


def read_duration(text: str) -> float | None:
    """Return a duration in seconds; None: the text is not one.

    >>> read_duration("7d"), read_duration("90 s"), read_duration("soon")
    (604800.0, 90.0, None)

    """
    found = _TEXT.fullmatch(text.strip())
    return None if found is None else float(found[1]) * _UNITS[found[2]]


def check_duration(what: str, value: object, *, least: float) -> float:
    """Return a duration in seconds, given as a text, a number of seconds or a timedelta.

    Raises:
        UsageError: it is something else, or not from `least` seconds to ten years.

    """
    text = as_str(value)
    seconds = as_seconds(value) if text is None else read_duration(text)
    if seconds is None:
        raise UsageError(
            f"{shown(what, value)}: give a time such as '7d', '12h' or '30min', a number of seconds, or a timedelta."
        )
    return check_seconds(what, seconds, least=least)
