"""Text for people and for tables: values in messages, numbers, durations, and what is kept of an error.

Nothing here raises, whatever is passed; only what a worker raises in a job's thread from outside is let through.
Everything that is kept of an error can be stored by PostgreSQL.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from types import TracebackType

from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE

MAX_SHOWN = 80  # characters of a value in a message
MAX_SUMMARY = 200  # characters of a summary
MAX_ERROR = 500  # characters of the one-line error
MAX_TRACEBACK = 8_000  # characters of a traceback: the head and the tail are kept
# The modules whose calls lead to a job's own code.
_OUR_CALLS = ("pgjobs.worker.", "pgjobs.jobs.job")
_UNITS = (("day", "d", 86400.0), ("h", "h", 3600.0), ("min", "m", 60.0))


def shorten(text: str) -> str:
    """Cut a text to the length of a summary."""
    return text if len(text) <= MAX_SUMMARY else text[: MAX_SUMMARY - 3] + "..."


def unprintable(value: object) -> str:
    """Return what is shown for a value whose `__str__` or `__repr__` raises."""
    return f"<{type(value).__name__} that cannot be printed>"


def shorten_repr(value: object) -> str:
    """Show a value in one line of at most 80 characters."""
    try:
        line = " ".join(repr(value).split())
    except Exception:  # numbers of more than 4,300 digits have no repr(), and a class may raise anything
        line = unprintable(value)
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN - 1]}…"


def plural(number: int, noun: str, *, cap: int | None = None) -> str:
    """Write a number with its noun; at the cap there may be more.

    >>> plural(1, "job"), plural(2500, "job"), plural(100, "job", cap=100)
    ('1 job', '2,500 jobs', '100 jobs or more')

    """
    more = " or more" if cap is not None and number >= cap else ""
    return f"{number:,} {noun}{'' if number == 1 else 's'}{more}"


def listed(items: Sequence[object], most: int = 5) -> str:
    """Write a list, and how many more items there are than are shown.

    >>> listed([1, 2, 3]), listed(range(9), 2)
    ('1, 2, 3', '0, 1 and 7 more')

    """
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most:,} more"


def duration(seconds: float) -> str:
    """Write a duration for a sentence.

    >>> duration(0.84), duration(47), duration(200), duration(7300), duration(86400 * 3)
    ('0.8 s', '47 s', '3 min', '2 h', '3 days')

    """
    seconds = max(0.0, seconds)
    for unit, _, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}{'s' if unit == 'day' else ''}"
    return f"{seconds:.0f} s" if seconds >= 9.95 or seconds < 0.05 or seconds == int(seconds) else f"{seconds:.1f} s"


def short_duration(seconds: float) -> str:
    """Write a duration for a column of a table.

    >>> short_duration(0.0123), short_duration(1.23), short_duration(45), short_duration(200), short_duration(86400 * 3)
    ('12ms', '1.2s', '45s', '3m', '3d')

    """
    if seconds < 10:
        return f"{seconds:.1f}s" if seconds >= 0.1 else f"{seconds * 1000:.0f}ms"
    for _, unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}" if seconds < 20_000 * size else "never"
    return f"{seconds:.0f}s"


def describe(error: BaseException) -> tuple[str, str]:
    """Return one line and a bounded traceback, which begins with the job's own code."""
    name = type(error).__name__
    message = _text(error)
    line = one_line(f"{name}: {message}" if message else name)
    try:
        trace = "".join(traceback.format_exception(type(error), error, beyond_us(error.__traceback__), limit=60))
    except RAISED_FROM_OUTSIDE:
        raise
    except BaseException:  # an exception's own __str__ may do anything
        try:
            trace = "".join(traceback.format_tb(error.__traceback__, limit=60)) + line
        except RAISED_FROM_OUTSIDE:
            raise
        except BaseException:
            trace = line
    return line, bounded(trace)


def one_line(text: object) -> str:
    """Return a line that PostgreSQL stores: no line breaks, no NUL, no lone surrogates, bounded."""
    line = " ".join(_storable(_text(text)).split())
    return line if len(line) <= MAX_ERROR else line[: MAX_ERROR - 1] + "…"


def bounded(trace: str) -> str:
    """Keep the head and the tail of a long traceback."""
    trace = _storable(trace)
    if len(trace) <= MAX_TRACEBACK:
        return trace
    head = MAX_TRACEBACK // 4
    return f"{trace[:head]}\n… {len(trace) - MAX_TRACEBACK} characters left out …\n{trace[head - MAX_TRACEBACK :]}"


def beyond_us(trace: TracebackType | None) -> TracebackType | None:
    """Leave out of a traceback the calls that led to the job's own code: they are the same for every job."""
    rest = trace
    while rest is not None and str(rest.tb_frame.f_globals.get("__name__")).startswith(_OUR_CALLS):
        rest = rest.tb_next
    return rest or trace


def _text(value: object) -> str:
    try:
        return str(value)
    except RAISED_FROM_OUTSIDE:
        raise
    except BaseException:  # __str__ of a job's exception may raise anything, SystemExit included
        return unprintable(value)


def _storable(text: str) -> str:
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
