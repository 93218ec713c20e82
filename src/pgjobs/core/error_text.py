"""The text of exceptions at a bounded cost, however long their messages, chains and groups are.

Python's own formatting makes all of the text first: an exception with 40 MB in it would take many times that much
memory, and hold up the other jobs of its process, on the way to the few thousand characters that are kept.
"""

from __future__ import annotations

import traceback
from itertools import islice
from types import TracebackType
from typing import Any

from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE

MAX_TEXT = 100_000  # characters of one text that are looked at; far fewer are kept
MAX_EXCEPTIONS = 50  # of one chain, with the members of its groups
MAX_LEAVES = 1_000  # exceptions in groups that decide the outcome of a job
MAX_FRAMES = 60  # of one exception
_NEAREST = 10  # exceptions of a longer chain, and members of a larger group, that are shown
_SHOWN = 1_500  # characters of a message in a longer chain: its end is the tail of a traceback, which is kept
_OWN_TEXT = (BaseException.__str__, KeyError.__str__)
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def text_of(value: object) -> str:
    """Return `str(value)`, or its beginning, whatever its `__str__` does.

    What Python itself would write out at length is not written out.
    """
    try:
        if isinstance(value, BaseException) and _has_large_args(value):
            return cut(_text_of_args(value), MAX_TEXT)
        return cut(value if type(value) is str else str(value), MAX_TEXT)
    except RAISED_FROM_OUTSIDE:
        raise
    except BaseException:  # __str__ of a job's exception may raise anything, SystemExit included
        return unprintable(value)


def unprintable(value: object) -> str:
    """Return what is shown for a value whose `__str__` or `__repr__` raises."""
    return f"<{type(value).__name__} that cannot be printed>"


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group, and in the groups in it, a thousand at most; of all else, the exception itself.

    >>> leaves(ExceptionGroup("a", [ValueError(1), ExceptionGroup("b", [KeyError(2)])]))
    [ValueError(1), KeyError(2)]

    """
    found: list[BaseException] = []
    left = [error]
    while left and len(found) < MAX_LEAVES:
        part = left.pop()
        if issubclass(type(part), BaseExceptionGroup):
            left.extend(reversed(part.exceptions))  # type: ignore[attr-defined]  # it has just been looked at
        else:
            found.append(part)
    return found


def cut(text: str, most: int) -> str:
    """Return the beginning of a text, with a note about the rest.

    >>> cut("abcdef", 4)
    'abcd … (2 characters left out)'

    """
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most:,} characters left out)"


def is_large(value: object) -> bool:
    """Return True if a text, or lists, tuples, sets and dicts with what is in them, would have a very long `repr()`."""
    left = MAX_TEXT
    pending = [value]
    while pending and left > 0:
        each: Any = pending.pop()
        kind = type(each)
        left -= 1
        if kind in (str, bytes, bytearray, list, tuple, set, frozenset, dict):
            left -= len(each)
        if left > 0 and kind in (list, tuple, set, frozenset, dict):
            pending.extend(each)
            if kind is dict:
                pending.extend(each.values())
    return left <= 0


def short(value: Any) -> str:
    """Return the `repr()` of a value; of one that is large, its beginning or its size."""
    if not is_large(value):
        return repr(value)
    return f"{value[:MAX_TEXT]!r}…" if type(value) in (str, bytes) else f"<{type(value).__name__} of {len(value):,}>"


def _has_large_args(error: BaseException) -> bool:
    """Return True if its text is that of its arguments, which are large."""
    return type(error).__str__ in _OWN_TEXT and is_large(error.args)


def _text_of_args(error: BaseException) -> str:
    args = error.args
    if len(args) == 1:
        return args[0] if type(args[0]) is str and not isinstance(error, KeyError) else short(args[0])
    return f"({', '.join(map(short, islice(args, _NEAREST)))}{', …' if len(args) > _NEAREST else ''})"


def format_error(error: BaseException, trace: TracebackType | None) -> str:
    """Return the traceback of an exception with its chain and its group, as Python writes it unless it is too long."""
    if _is_ordinary(error):
        return "".join(traceback.format_exception(type(error), error, trace, limit=MAX_FRAMES))
    return _nearest(error, trace)


def _is_ordinary(error: BaseException) -> bool:
    seen: set[int] = set()
    pending = [error]
    left = MAX_TEXT
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        notes = getattr(each, "__notes__", ())
        if len(seen) + len(members) > MAX_EXCEPTIONS or _has_large_args(each) or is_large(notes):
            return False
        left -= len(text_of(each)) + len(type(each).__qualname__) + sum(map(len, map(str, notes)))
        if isinstance(each, SyntaxError):
            left -= len(each.text or "")
        if left < 0:
            return False
        pending += [other for other in (each.__cause__, each.__context__, *members) if other is not None]
    return True


def _nearest(error: BaseException, trace: TracebackType | None) -> str:
    """Write an exception and what led to it directly, each with its frames and the beginning of its message."""
    parts: list[str] = []
    each, frames = error, trace
    for _ in range(_NEAREST):
        text = "Traceback (most recent call last):\n" if frames is not None else ""
        parts.append(f"{text}{''.join(traceback.format_tb(frames, limit=MAX_FRAMES))}{_summary(each)}")
        former = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        if former is None:
            return "".join(reversed(parts))
        parts.append(_CAUSE if former is each.__cause__ else _CONTEXT)
        each, frames = former, former.__traceback__
    return "".join(reversed([*parts, "(earlier exceptions are left out)\n"]))


def _summary(error: BaseException) -> str:
    lines = [_named(error)]
    notes = getattr(error, "__notes__", ())
    if isinstance(notes, list | tuple):
        texts = (text_of(note) if isinstance(note, str) or not is_large(note) else short(note) for note in notes)
        lines += [cut(text, _SHOWN) for text in islice(texts, _NEAREST)]
    if isinstance(error, BaseExceptionGroup):
        lines += [f"  | {_named(member)}" for member in error.exceptions[:_NEAREST]]
        lines += [f"  | … {len(error.exceptions) - _NEAREST:,} more"] if len(error.exceptions) > _NEAREST else []
    return "\n".join(lines) + "\n"


def _named(error: BaseException) -> str:
    name, text = cut(type(error).__qualname__, _SHOWN), cut(text_of(error), _SHOWN)
    return f"{name}: {text}" if text else name
