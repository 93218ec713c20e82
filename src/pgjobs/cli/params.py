"""Options and arguments that several commands share, and how their values are read."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr

QueueFilter = Annotated[str | None, typer.Option("--queue", "-q", metavar="NAME", help="Only this queue.")]
QueueGlob = Annotated[
    str | None, typer.Option("--queue", "-q", metavar="NAME", help="Only this queue, or a glob such as 'mail-*'.")
]
TaskFilter = Annotated[
    str | None,
    typer.Option("--task", "-t", metavar="TASK", help="Only this task, module, or glob such as 'shop.*:send_?'."),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many rows at most.")]
JobId = Annotated[int, typer.Argument(metavar="ID", help="The job's id.", show_default=False)]
SomeIds = Annotated[list[int] | None, typer.Argument(metavar="ID", help="Ids of jobs.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, with ISO timestamps.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Days = Annotated[str, typer.Argument(metavar="DAYS", help="A number of days, or forever.", show_default=False)]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", "-c", metavar="N", help="Run at most N jobs at once, over all workers.")
]
Rate = Annotated[
    str | None,
    typer.Option("--rate", metavar="RATE", help="Start at most this many per period: 100/min, 10/s, 10/30s."),
]
Burst = Annotated[
    float | None,
    typer.Option("--burst", metavar="B", help="Start at most B at once (default: the jobs of one period)."),
]
NoLimit = Annotated[bool, typer.Option("--none", help="No limit at all.")]


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone. Without a terminal, `--yes` is required.

    Raises:
        UsageError: there is no terminal and no `--yes`.
        typer.Abort: the answer was no.

    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} There is no terminal to ask on: give --yes.")
    typer.confirm(question, abort=True, err=True)


def parse_pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Read values of an option that are each `KEY=VALUE`.

    >>> parse_pairs("--meta", ["user=7", "text=a=b"])
    {'user': '7', 'text': 'a=b'}

    Raises:
        UsageError: one of them has no key or no `=`.

    """
    pairs = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not (key and sign):
            raise UsageError(f"{option} {shorten_repr(text)}: give KEY=VALUE, such as user=7.")
        pairs[key] = value
    return pairs


def parse_time(option: str, text: str) -> datetime:
    """Read a time in ISO format; without a zone it is in this machine's.

    Raises:
        UsageError: the text is not such a time.

    """
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.astimezone()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{option} {shorten_repr(text)}: give a time such as 2030-01-31T09:00 or 2030-01-31T09:00+01:00."
        ) from None
