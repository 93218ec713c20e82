"""Values of a kind as plain ones: a string, a whole number, a number; None for all else.

A subclass may answer anything when it is compared or printed, an object may lie about its class, and an `Enum` of
strings is printed by its name. So the kind is looked at, and what is kept is a plain copy: the same in the options, in
the row and in the signature.
"""

from __future__ import annotations

import math

from pgjobs.core.errors import UsageError, shorten_repr


def as_str(value: object) -> str | None:
    """Give a string as a plain one; None: it is none."""
    return str.__str__(value) if is_exactly(value, str) else None


def as_int(value: object) -> int | None:
    """Give a whole number as a plain one; None: it is none. True and False are none."""
    if not is_exactly(value, int) or is_exactly(value, bool):
        return None
    return int.__int__(value)  # type: ignore[arg-type]  # just looked at


def as_number(value: object) -> int | float | None:
    """Give a finite number as a plain one; None: it is none, or no float is as large."""
    if is_exactly(value, float):
        number = float.__float__(value)  # type: ignore[arg-type]  # just looked at
        return number if math.isfinite(number) else None
    whole = as_int(value)
    try:
        return whole if whole is None or math.isfinite(whole) else None
    except OverflowError:  # a whole number beyond all floats
        return None


def is_exactly(value: object, kind: type) -> bool:
    """Say whether it is of a kind, by its type alone: `isinstance` asks the object too, which may raise."""
    return issubclass(type(value), kind)


MAX_DELAY = 10 * 366 * 86400.0  # seconds: ten years


def check_seconds(name: str, value: object) -> float:
    """Give the seconds that a job asked for as a float.

    Raises:
        UsageError: it is no number (a timedelta, say), or not between 0 and ten years.

    """
    seconds = as_number(value)
    if seconds is None or not 0 <= seconds <= MAX_DELAY:
        raise UsageError(f"{name}({shorten_repr(value)}): give a number of seconds between 0 and ten years.")
    return float(seconds)


MAX_QUEUE_NAME = 100  # characters


def check_queue(queue: object) -> str:
    """Give the name of a queue, or refuse what is none.

    Raises:
        UsageError: it is empty, too long, no string, or has a NUL in it.

    """
    name = as_str(queue)
    if name is None:
        raise UsageError(f"queue={shorten_repr(queue)}: give a string.")
    if len(name) > MAX_QUEUE_NAME:
        raise UsageError(f"queue={name[:20]!r}… has {len(name)} characters: {MAX_QUEUE_NAME} are the most.")
    if not name or name != name.strip():
        raise UsageError(f"queue={name!r}: the name of a queue is not empty, and has no space at its ends.")
    if not name.isprintable():
        raise UsageError(f"queue={name!r}: the name of a queue has printable characters only.")
    return name


def check_priority(priority: object) -> int:
    """Give a priority, or refuse what is none.

    Raises:
        UsageError: it is no whole number from 0 to 9.

    """
    number = as_int(priority)
    if number is None or not 0 <= number <= 9:
        raise UsageError(f"priority={shorten_repr(priority)}: give a whole number from 0 (first) to 9 (last).")
    return number
