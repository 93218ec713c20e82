"""What is kept of an error: one line, and a bounded traceback that begins with the job's own code.

Whatever a job raises can be described, and what comes out can be stored by PostgreSQL.
"""

from __future__ import annotations

import traceback
from types import TracebackType

ERROR_LIMIT = 500  # characters of the one-line error
TRACEBACK_LIMIT = 8_000  # characters of a traceback: the head and the tail are kept
# How the names of the modules begin whose calls lead to a job's own code.
_OUR_CALLS = ("pgjobs.worker.", "pgjobs.jobs.job")


def describe(error: BaseException) -> tuple[str, str]:
    """Give one line and a bounded traceback for any exception, also one that can not be printed."""
    name = type(error).__name__
    message = _text(error)
    line = one_line(f"{name}: {message}" if message else name)
    try:
        trace = "".join(traceback.format_exception(type(error), error, _beyond_us(error.__traceback__), limit=60))
    except BaseException:  # an exception's own __str__ may do anything
        try:
            trace = "".join(traceback.format_tb(error.__traceback__, limit=60)) + line
        except BaseException:
            trace = line
    return line, bounded(trace)


def _beyond_us(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the calls that led to the job's own code: they are the same for every job."""
    rest = trace
    while rest is not None and str(rest.tb_frame.f_globals.get("__name__")).startswith(_OUR_CALLS):
        rest = rest.tb_next
    return rest or trace


def one_line(text: object) -> str:
    """Make a line that PostgreSQL stores: no line breaks, no NUL, no lone surrogates, bounded."""
    line = " ".join(_storable(_text(text)).split())
    return line if len(line) <= ERROR_LIMIT else line[: ERROR_LIMIT - 1] + "…"


def bounded(trace: str) -> str:
    """Keep the head and the tail of a long traceback."""
    trace = _storable(trace)
    if len(trace) <= TRACEBACK_LIMIT:
        return trace
    head = TRACEBACK_LIMIT // 4
    return f"{trace[:head]}\n… {len(trace) - TRACEBACK_LIMIT} characters left out …\n{trace[head - TRACEBACK_LIMIT :]}"


def _text(value: object) -> str:
    try:
        return str(value)
    except BaseException:  # __str__ of a job's exception may raise anything, SystemExit included
        return f"<{type(value).__name__} that can not be printed>"


def _storable(text: str) -> str:
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


LIMIT = 200  # characters of a summary


def shorten(text: str) -> str:
    """Cut what is longer than a summary may be."""
    return text if len(text) <= LIMIT else text[: LIMIT - 3] + "..."
