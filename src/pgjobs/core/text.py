"""Text for people and for tables: values in messages, numbers, durations, and what is kept of an error.

Nothing here raises, whatever is passed; only what a worker raises in a job's thread from outside is let through.
Everything that is kept of an error can be stored by PostgreSQL.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from types import TracebackType

from pgjobs.core.error_text import MAX_FRAMES, cut, format_error, is_large, leaves, short, text_of, unprintable
from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE

MAX_SHOWN = 80  # characters of a value in a message
MAX_SUMMARY = 200  # characters of a summary
MAX_ERROR = 500  # characters of the one-line error
MAX_LABEL = 200  # characters of a name in a metric or a span
MAX_TRACEBACK = 8_000  # characters of a traceback: the head and the tail are kept
# The modules whose calls lead to a job's own code.
_OUR_CALLS = ("pgjobs.worker.", "pgjobs.jobs.job")
_LOOKED_AT = 10_000  # characters of a repr() that are made one line
# All of C0 but tab and line ends, DEL, C1, line separators, and what changes the direction of text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNITS = (("day", "d", 86400.0), ("h", "h", 3600.0), ("min", "m", 60.0))


def shorten(text: str) -> str:
    """Cut a text to the length of a summary."""
    return text if len(text) <= MAX_SUMMARY else text[: MAX_SUMMARY - 3] + "..."


def shorten_repr(value: object) -> str:
    """Show a value in one line of at most 80 characters."""
    try:
        line = " ".join((short(value) if is_large(value) else repr(value))[:_LOOKED_AT].split())
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
    name = cut(type(error).__name__, MAX_ERROR)
    message = text_of(error)
    if issubclass(type(error), BaseExceptionGroup):
        message += _members(error)
    line = one_line(f"{name}: {message}" if message else name)
    try:
        trace = format_error(error, beyond_us(error.__traceback__))
    except RAISED_FROM_OUTSIDE:
        raise
    except BaseException:  # an exception's own __str__ may do anything
        try:
            trace = "".join(traceback.format_tb(error.__traceback__, limit=MAX_FRAMES)) + line
        except RAISED_FROM_OUTSIDE:
            raise
        except BaseException:
            trace = line
    return line, bounded(trace)


def _members(group: BaseException) -> str:
    """Name the first exceptions in a group: its own message says little ("unhandled errors in a TaskGroup")."""
    try:
        named = [f"{type(part).__name__}: {cut(text_of(part), MAX_SUMMARY)}" for part in leaves(group)[:3]]
    except RAISED_FROM_OUTSIDE:
        raise
    except BaseException:  # a class of its own may do anything
        return ""
    return f": {'; '.join(named)}"


def label(text: str) -> str:
    r"""Return a text for a metric or a span: bounded, of characters that UTF-8 and terminals take.

    Other systems keep it, and people read it there: it may have come from a row that anybody wrote.

    >>> label("shop.tasks:send"), label("a\nb\x1b[31m")
    ('shop.tasks:send', 'a\\nb\\x1b[31m')

    """
    if len(text) > MAX_LABEL:
        text = text[: MAX_LABEL - 1] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def one_line(text: object) -> str:
    """Return a line that PostgreSQL stores: no line breaks, no control characters, no lone surrogates, bounded."""
    line = " ".join(_storable(text_of(text)).split())
    return line if len(line) <= MAX_ERROR else line[: MAX_ERROR - 1] + "…"


def escape_controls(text: str) -> str:
    r"""Escape what moves a terminal's cursor, colours it, or turns the direction of its text; keep line ends and tabs.

    >>> escape_controls("a\x9b31m\u202eb\n")
    'a\\x9b31m\\u202eb\n'

    """
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def escape_unprintable(json: str) -> str:
    r"""Escape what cannot be printed in a text in JSON, which then has the same meaning; keep its line ends.

    >>> escape_unprintable('"é\u202e\x9b"')
    '"é\\u202e\\u009b"'

    """
    if json.isprintable():
        return json
    return "".join(c if c.isprintable() or c == "\n" else _in_json(c) for c in json)


def _in_json(character: str) -> str:
    code = ord(character)
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def bounded(trace: str) -> str:
    """Keep the head and the tail of a long traceback."""
    left_out = len(trace) - 2 * MAX_TRACEBACK
    if left_out > 0:  # so that a long one is not copied
        trace = trace[:MAX_TRACEBACK] + trace[-MAX_TRACEBACK:]
    trace = _storable(trace)
    left_out = max(left_out, 0) + len(trace) - MAX_TRACEBACK
    if left_out <= 0:
        return trace
    head = MAX_TRACEBACK // 4
    return f"{trace[:head]}\n… {left_out} characters left out …\n{trace[head - MAX_TRACEBACK :]}"


def beyond_us(trace: TracebackType | None) -> TracebackType | None:
    """Leave out of a traceback the calls that led to the job's own code: they are the same for every job."""
    rest = trace
    while rest is not None and str(rest.tb_frame.f_globals.get("__name__")).startswith(_OUR_CALLS):
        rest = rest.tb_next
    return rest or trace


def _storable(text: str) -> str:
    return escape_controls(text).encode("utf-8", "backslashreplace").decode("utf-8")


def is_glob(text: str) -> bool:
    """Return True for a pattern with `*` or `?`."""
    return "*" in text or "?" in text


def matches_glob(pattern: str, text: str) -> bool:
    """Return True if the whole text matches: `*` stands for any characters, `?` for one.

    Without a regular expression: many stars in one would take forever on a text that does not match.
    """
    at = place = 0  # in the text, and in the pattern
    star, after_star = -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, after_star, place = place, at, place + 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            at, place = at + 1, place + 1
        elif star >= 0:  # the last star stands for one character more
            after_star += 1
            at, place = after_star, star + 1
        else:
            return False
    return not pattern[place:].strip("*")
