"""How times, numbers and names are written in the sentences of `why` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from shlex import quote

from pgjobs.core.text import duration, listed

NEVER = datetime.max.replace(tzinfo=UTC)


def at(moment: datetime) -> str:
    """Write a moment, in UTC.

    >>> at(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
    '2026-01-02 03:04:05 UTC'

    """
    return "infinity" if moment >= NEVER else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago(now: datetime, moment: datetime) -> str:
    """Write how long ago a moment was, and when.

    >>> ago(datetime(2026, 1, 2, 3, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    '60 s ago, at 2026-01-02 03:04:00 UTC'

    """
    return f"{duration((now - moment).total_seconds())} ago, at {at(moment)}"


def argument(name: str) -> str:
    """Write a name as the last argument of a command.

    >>> argument("mail"), argument("a b"), argument("-x")
    ('mail', "'a b'", '-- -x')

    """
    return f"-- {quote(name)}" if name.startswith("-") else quote(name)


def serve(queue: str, *, more: bool = False) -> str:
    """Return the command that starts a worker for a queue; `more`: with a number of slots to choose.

    >>> serve("mail"), serve("mail", more=True), serve("a:b,c d")
    ('`pgjobs work -q mail`', '`pgjobs work -q mail:N`', "`pgjobs work -q 'a:b?c d:10'`")

    """
    name = "".join("?" if character in "*?[," else character for character in queue)  # which have a meaning there
    slots = ":N" if more else ":10" if ":" in name else ""
    return f"`pgjobs work -q {quote(name + slots)}`"


def jobs(ids: Sequence[int]) -> str:
    """Name jobs by their ids.

    >>> jobs([7]), jobs([7, 8])
    ('job 7', 'jobs 7, 8')

    """
    return f"job{'' if len(ids) == 1 else 's'} {listed(ids)}"


def waiting_sentence(queue: str, id: int, waiters: Sequence[int]) -> str:
    """Write that running jobs wait for a job of their own full queue.

    >>> waiting_sentence("mail", 9, [7])
    'Job 7 runs and waits for job 9 of its own queue mail, which has no free slot.'

    """
    one = len(waiters) == 1
    who = jobs(waiters)
    return (
        f"{who[0].upper()}{who[1:]} {'runs and waits' if one else 'run and wait'} for job {id} of "
        f"{'its' if one else 'their'} own queue {queue}, which has no free slot."
    )


def waiting_step(queue: str) -> str:
    """Write what to do about it."""
    return (
        f"Start more workers or slots ({serve(queue, more=True)}), and let jobs that wait for others run in another "
        "queue, or enqueue what comes afterwards with `after=`."
    )
