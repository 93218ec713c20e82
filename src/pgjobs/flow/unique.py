"""The options of jobs that are to be there once, and of jobs that wait for others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import MIN_SECONDS, as_int, as_str, check_seconds, is_exactly

if TYPE_CHECKING:
    from typing import Protocol

    class Handle(Protocol):
        """A job that was enqueued, as far as it is known here."""

        @property
        def id(self) -> int:
            """Its id."""


UniqueUntil = Literal["finished", "started"] | float
OnConflict = Literal["skip", "replace", "raise"]
IfFailed = Literal["wait", "run", "cancel"]
MAX_NEEDED = 10_000
_PARTS = ("args", "queue", "task")
_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class UniqueBy:
    """What makes two jobs the same, made by `by`; the task always does."""

    parts: frozenset[str]


def by(*parts: Literal["args", "queue", "task"]) -> UniqueBy:
    """Say by what two jobs are the same: `unique=by("args", "queue")`. The task is always part of it.

    `"args"` compares the arguments by value, however they were passed and with the defaults filled in.

    Raises:
        UsageError: nothing is given, or something else than "args", "queue" and "task".

    """
    names = [as_str(part) for part in parts]
    if not names or any(name not in _PARTS for name in names):
        raise UsageError(
            f"by({', '.join(map(shorten_repr, parts))}): give 'args', 'queue' or 'task', or several of them."
        )
    return UniqueBy(frozenset(name for name in names if name is not None and name != "task"))


def check_until(until: object) -> UniqueUntil:
    """Give how long a key is held.

    Raises:
        UsageError: it is neither 'finished' nor 'started', nor seconds.

    """
    text = as_str(until)
    if text == "finished":
        return "finished"
    if text == "started":
        return "started"
    return check_seconds("unique_until", until, least=MIN_SECONDS, or_else="'finished' or 'started'")


def check_after(after: Any) -> tuple[int, ...]:
    """Give the ids of the jobs that one waits for, each once.

    Raises:
        UsageError: they are no handles, and no ids.

    """
    try:
        if is_exactly(after, str) or is_exactly(after, bytes) or not issubclass(type(after), Iterable):
            raise TypeError
        ids = {as_int(job if as_int(job) is not None else job.id) for job in after}
    except Exception:  # whatever was given, and whatever it does when it is asked
        raise UsageError(f"after={shorten_repr(after)}: give a list of what enqueue returned, or of ids.") from None
    known = sorted(job for job in ids if job is not None and 1 <= job <= _MAX_ID)
    if len(known) != len(ids):
        raise UsageError(f"after={shorten_repr(after)}: give a list of what enqueue returned, or of ids from 1 on.")
    if len(known) > MAX_NEEDED:
        raise UsageError(f"after= has {len(known):,} jobs, and {MAX_NEEDED:,} are the most: let one job wait for some.")
    return tuple(known)
