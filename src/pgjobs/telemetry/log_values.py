"""The values of log lines as plain text of bounded length, without the passwords of database URLs.

A job may log anything: an object whose `__repr__` raises, a list of a million items, a URL.
"""

from __future__ import annotations

import math
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Any

from pgjobs.core.error_text import short, unprintable
from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE
from pgjobs.db.url import mask

if TYPE_CHECKING:
    from collections.abc import MutableMapping

VALUE_LIMIT = 4_000  # characters of one value
ITEM_LIMIT = 100  # items of one list or dictionary
DEPTH_LIMIT = 4  # lists and dictionaries inside one another
_CUT = " … ({} characters left out)"


def make_plain(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make every value one that any renderer can write, without the passwords of database URLs."""
    return {
        text_of(key): _masked(value) if key in ("exception", "stack") else _plain(value, DEPTH_LIMIT)
        for key, value in event.items()
    }


def _plain(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, date):
        return value.isoformat()
    if depth and isinstance(value, dict) and type(value) is dict:
        return {text_of(key): _plain(item, depth - 1) for key, item in islice(value.items(), ITEM_LIMIT)}
    if depth and isinstance(value, list | tuple | set | frozenset) and type(value).__module__ == "builtins":
        return [_plain(item, depth - 1) for item in islice(value, ITEM_LIMIT)]
    return text_of(value, convert=short)


def text_of(value: object, convert: Any = str) -> str:
    """Make text of anything: without passwords, bounded, whatever its `__str__` or `__repr__` does."""
    try:
        text = value if type(value) is str else str(convert(value))
    except RAISED_FROM_OUTSIDE:
        raise
    except BaseException:  # also SystemExit, out of a job's own __repr__
        text = unprintable(value)
    if len(text) <= VALUE_LIMIT:
        return _masked(text)
    # Twice the limit is masked, so that a password which lies across the cut is not half shown.
    return _masked(text[: 2 * VALUE_LIMIT])[:VALUE_LIMIT] + _CUT.format(len(text) - VALUE_LIMIT)


def _masked(text: str) -> str:
    return mask(text) if "://" in text or "password" in text.lower() else text
