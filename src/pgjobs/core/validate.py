"""Checks of the values that callers give: each returns a plain value, or raises UsageError.

A subclass may answer anything when it is compared or printed, an object may lie about its class, and an `Enum` of
strings is printed by its name. So a check looks at the type alone and returns a plain copy: the same value goes into
the options, the row and the signature.

The argument `what` names the value in messages: "queue" is shown as `queue=5`, and "Breaker.window", a part of a
value, as `Breaker(window=5)`.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr

Seconds: TypeAlias = float | timedelta
"""How durations are given: a number of seconds, or a timedelta."""

MAX_NAME = 100  # characters
MAX_DELAY = 10 * 366 * 86400.0  # seconds: ten years
MIN_SECONDS = 0.001
# From the year in which workers begin to look for jobs, to the last that Python and PostgreSQL both have to the end,
# in every time zone.
MIN_DATETIME = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_DATETIMES = datetime(9999, 1, 1, tzinfo=UTC)


def has_type(value: object, kind: type | tuple[type, ...]) -> bool:
    """Return True if the value's type is `kind`, or below it; `isinstance` asks the object too, which may raise."""
    return issubclass(type(value), kind)


def as_str(value: object) -> str | None:
    """Return a string as a plain one; None if it is not a string."""
    # A subclass may lie in its own `__str__`, so the method of `str` itself is asked.
    return str.__str__(cast("str", value)) if has_type(value, str) else None


def as_int(value: object) -> int | None:
    """Return a whole number as a plain one; None if it is something else, such as True."""
    if not has_type(value, int) or has_type(value, bool):
        return None
    return int.__int__(value)  # type: ignore[arg-type]  # its type was just checked


def as_number(value: object) -> int | float | None:
    """Return a finite number as a plain one; None if it is something else, or larger than every float."""
    if has_type(value, float):
        number = float.__float__(value)  # type: ignore[arg-type]  # its type was just checked
        return number if math.isfinite(number) else None
    whole = as_int(value)
    try:
        return whole if whole is None or math.isfinite(whole) else None
    except OverflowError:  # a whole number beyond all floats
        return None


def as_seconds(value: object) -> float | None:
    """Return a number of seconds or a timedelta as seconds; None if it is something else."""
    if has_type(value, timedelta):
        return timedelta.total_seconds(value)  # type: ignore[arg-type]  # its type was just checked
    number = as_number(value)
    return None if number is None else float(number)


def shown(what: str, value: object) -> str:
    """Write a value as the caller gave it.

    >>> shown("queue", 5), shown("Breaker.window", 5)
    ('queue=5', 'Breaker(window=5)')

    """
    owner, _, option = what.rpartition(".")
    text = f"{option}={shorten_repr(value)}"
    return f"{owner}({text})" if owner else text


def check_name(what: str, value: object, longest: int = MAX_NAME, *, or_else: str = "") -> str:
    """Return a name: 1 to `longest` printable characters, without a space at either end.

    `or_else`: what else the caller may give, for the message.

    Raises:
        UsageError: it is not such a name.

    """
    text = check_printable(what, value, longest, or_else=or_else)
    if text != text.strip():
        raise UsageError(f"{shown(what, text)} has a space at one of its ends: leave it out.")
    return text


def check_printable(what: str, value: object, longest: int = MAX_NAME, *, or_else: str = "") -> str:
    """Return a text of 1 to `longest` printable characters; PostgreSQL can store all of these.

    Raises:
        UsageError: it is not such a text.

    """
    text = as_str(value)
    expected = f"give a string of 1 to {longest} characters{f', or {or_else}' if or_else else ''}"
    if text is None:
        raise UsageError(f"{shown(what, value)}: {expected}, got {type(value).__name__}.")
    if len(text) > longest:
        raise UsageError(f"{shown(what, text[:20])}… is too long: {len(text):,} characters, the maximum is {longest}.")
    if not text:
        raise UsageError(f"{shown(what, text)} is empty: {expected}.")
    if not text.isprintable():
        raise UsageError(f"{shown(what, text)} has characters that cannot be printed: leave them out.")
    return text


def check_queue(queue: object) -> str:
    """Return the name of a queue.

    Raises:
        UsageError: it is not a name of 1 to 100 printable characters.

    """
    return check_name("queue", queue)


def check_new_queue(queue: object) -> str:
    """Return the name of a queue that is to get jobs or a limit: one that `pgjobs work -q NAME:CONCURRENCY` can name.

    Raises:
        UsageError: it is not a name, or `-q` would read something else.

    """
    name = check_queue(queue)
    before, _, number = name.rpartition(":")
    if before and number.isascii() and number.isdecimal():
        reads = f"the queue {before} with {number} slots"
    elif "," in name:
        reads = "several queues"
    elif name.startswith("-"):
        reads = "an option"
    else:
        return name
    other = re.sub("[:,]+", "-", name).strip("-") or "mail"
    raise UsageError(
        f"{shown('queue', name)}: `pgjobs work -q` would read {reads}; give it another name, such as {other!r}."
    )


def check_choice(what: str, value: object, choices: tuple[str, ...], *, or_else: str = "") -> str:
    """Return one of a few words.

    Raises:
        UsageError: it is not one of them.

    """
    text = as_str(value)
    if text is None or text not in choices:
        words = [*map(repr, choices), *([or_else] if or_else else [])]
        raise UsageError(f"{shown(what, value)}: give {', '.join(words[:-1])} or {words[-1]}.")
    return text


def check_bool(what: str, value: object) -> bool:
    """Return True or False; 0, 1 and None are refused.

    Raises:
        UsageError: it is something else.

    """
    if value is not True and value is not False:
        raise UsageError(f"{shown(what, value)}: give True or False.")
    return value


def check_whole(what: str, value: object, least: int, most: int, *, meaning: str = "") -> int:
    """Return a whole number from `least` to `most`.

    Raises:
        UsageError: it is not such a number.

    """
    number = as_int(value)
    if number is None or not least <= number <= most:
        raise UsageError(f"{shown(what, value)}: give a whole number from {meaning or f'{least} to {most:,}'}.")
    return number


def check_priority(priority: object) -> int:
    """Return a priority.

    Raises:
        UsageError: it is not a whole number from 0 to 9.

    """
    return check_whole("priority", priority, 0, 9, meaning="0 (first) to 9 (last)")


def check_seconds(what: str, value: object, *, least: float = 0.0, most: float = MAX_DELAY, or_else: str = "") -> float:
    """Return a duration, given as a number of seconds or as a timedelta, in seconds.

    Raises:
        UsageError: it is something else, or not from `least` to `most`.

    """
    seconds = as_seconds(value)
    if seconds is None or not least <= seconds <= most:
        limit = "ten years" if most == MAX_DELAY else f"{most:,.0f}"
        limits = f"from {least:g} on" if most == math.inf else f"from {least:g} to {limit}"
        last = f", a timedelta, or {or_else}" if or_else else ", or a timedelta"
        raise UsageError(f"{shown(what, value)}: give seconds {limits}{last}.")
    return seconds


def check_datetime(what: str, value: object, *, or_else: str = "") -> datetime:
    """Return a datetime with a time zone.

    Raises:
        UsageError: it is not a datetime, has no time zone (or one that raises), or is not from 1970 to 9998.

    """
    if not has_type(value, datetime):
        raise UsageError(
            f"{shown(what, value)}: give {f'{or_else}, or ' if or_else else ''}a datetime with a time zone."
        )
    moment: Any = value
    try:
        has_zone, in_range = moment.utcoffset() is not None, False
        if has_zone:
            in_range = MIN_DATETIME <= moment < END_OF_DATETIMES
        text = moment.isoformat()
    except Exception as error:  # a time zone is an object of any class, too
        raise UsageError(
            f"{shown(what, value)} cannot be used, its time zone raises {type(error).__name__}: use another one, such "
            "as timezone.utc or a ZoneInfo."
        ) from error
    if not has_zone:
        seconds = "delay" if what == "run_at" else what
        raise UsageError(
            f"{what}={text} has no time zone: give one, as in datetime.now(timezone.utc), or use {seconds}=SECONDS."
        )
    if not in_range:
        raise UsageError(f"{what}={text}: give a time from 1970 to the end of 9998.")
    checked: datetime = moment
    return checked


def check_exceptions(what: str, value: object) -> tuple[type[BaseException], ...]:
    """Return exception types as a tuple; one type needs none.

    Raises:
        UsageError: there is something else among them.

    """
    items: Any = value if has_type(value, tuple) or has_type(value, list) else (value,)
    types: list[type[BaseException]] = []
    for item in items:
        if not (has_type(item, type) and issubclass(item, BaseException)):
            raise UsageError(f"{shown(what, value)}: give exception types.")
        types.append(item)
    return tuple(types)
