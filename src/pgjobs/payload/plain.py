"""Payload and summary of a call with a few numbers and short texts, put together in one go.

Most jobs have no other arguments, and in bulk this is what the client does for each row: 0.2 µs for one int and 0.9 µs
for a number and a text, where to pickle the arguments and to summarize them one by one took 1.1 and 1.4 µs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from pgjobs.core.text import MAX_SUMMARY
from pgjobs.payload.summary import ITEMS, MAX_TEXT

FastPickler: TypeAlias = Callable[[tuple[Any, ...]], tuple[bytes, str | None] | None]

MAX_FAST_BYTES = 4096  # bytes of a payload that is made here, with room to spare
_INT = struct.Struct("<ci").pack  # BININT and the number
_LONG = struct.Struct("<q").pack  # behind LONG1 and its length
_FLOAT = struct.Struct(">d").pack  # behind BINFLOAT
_TEXTS = [b"\x8c" + bytes([length]) for length in range(4 * MAX_TEXT + 1)]  # SHORT_BINUNICODE and the length in UTF-8
# What follows the arguments, by their number: TUPLE (from 4 on with a MARK before them), EMPTY_DICT, TUPLE3, STOP.
_ENDS = [opcode + b"}\x87." for opcode in (b")", b"\x85", b"\x86", b"\x87")] + [b"t}\x87."] * (ITEMS - 3)
_STARTS = [b""] * 4 + [b"("] * (ITEMS - 3)


def fast_pickler(head: bytes, name: str | None, least: int, most: float) -> FastPickler:
    """Give a function that makes payload and summary from arguments; None where it is not for these.

    It is for `least` to `most` of them. `head` is the beginning of a pickle, which puts the callable on the stack.
    `name` is what summaries begin with (None: there are none).
    """
    most = min(most, ITEMS)
    start, end = head + b"J", _ENDS[1]
    pack_one = struct.Struct(f"<{len(start)}si{len(end)}s").pack
    may_be_one = least <= 1 <= most and len(name or "") < MAX_SUMMARY - len("(-2147483648)")

    def make(args: tuple[Any, ...]) -> tuple[bytes, str | None] | None:
        count = len(args)
        if count == 1 and may_be_one:  # a key, as a rule: half of the time of what follows
            value = args[0]
            if type(value) is int and -0x80000000 <= value <= 0x7FFFFFFF:
                return pack_one(start, value, end), None if name is None else f"{name}({value})"
        if not least <= count <= most:
            return None
        pickled = head + _STARTS[count]
        for value in args:
            kind = type(value)
            if kind is int:
                if -0x80000000 <= value <= 0x7FFFFFFF:
                    pickled += _INT(b"J", value)
                elif -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
                    pickled += b"\x8a\x08" + _LONG(value)
                else:
                    return None
            elif kind is str:
                if len(value) > MAX_TEXT:
                    return None
                try:
                    text = value.encode()
                except UnicodeEncodeError:  # half of a surrogate pair
                    return None
                pickled += _TEXTS[len(text)] + text
            elif value is None:
                pickled += b"N"
            elif value is True:
                pickled += b"\x88"
            elif value is False:
                pickled += b"\x89"
            elif kind is float:
                pickled += b"G" + _FLOAT(value)
            else:
                return None
        pickled += _ENDS[count]
        if name is None:
            return pickled, None
        summary = f"{name}({args[0]!r})" if count == 1 else f"{name}{args!r}"
        return (pickled, summary) if len(summary) <= MAX_SUMMARY else None

    return make


def no_fast_path(args: tuple[Any, ...]) -> tuple[bytes, str | None] | None:
    """Say of all arguments that they are not for this."""
    return None
