"""`pgjobs queues list|pause|resume|remove|keep|limit|aging|sla`."""

from __future__ import annotations

from shlex import quote
from typing import Annotated, Literal

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.limits import chosen
from pgjobs.cli.output import Column, note, print_json, print_table, say, when
from pgjobs.cli.params import Burst, Concurrency, Json, NoLimit, Rate
from pgjobs.cli.session import session
from pgjobs.core.errors import UsageError
from pgjobs.core.text import plural, shorten_repr
from pgjobs.flow.limits import NO_LIMIT, LimitSettings

app = command_group()

COLUMNS = (
    Column("QUEUE"),
    Column("STATE"),
    Column("PAUSED SINCE"),
    Column("KEEPS"),
    Column("WORKER"),
    Column("LIMIT"),
    Column("AGING"),
    Column("SLA"),
)
UNSEEN = "pgjobs: queue {!r} has no jobs and no workers yet. Check the name."
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a queue.", show_default=False)]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of queues.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the queues that have settings or queued jobs."""
    with session("queues list") as conn:
        found = admin.list_queues(conn)
    if as_json:
        print_json(found)
        return
    limits = [LimitSettings.of_columns(q.concurrency, q.rate, q.period, q.burst) for q in found]
    rows = [
        [
            q.name,
            "paused" if q.paused else "open",
            when(q.paused_at) or "",
            "everything" if q.keep_completed else "nothing",
            "yes" if q.worked_on else "none",
            "" if limit == NO_LIMIT else str(limit),
            "" if q.aging is None else f"{q.aging:g} s",
            "" if q.sla is None else f"{q.sla:g} s",
        ]
        for q, limit in zip(found, limits, strict=True)
    ]
    print_table(COLUMNS, rows, empty="No queue has jobs or settings yet.")


@app.command()
def pause(names: Names) -> None:
    """Stop claiming jobs from queues. Running jobs finish; new jobs wait."""
    with session("queues pause") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        for name in names:
            done = admin.pause_queue(conn, name)
            say(f"{name} is paused." if done else f"{name} was paused already.")
            _note_unseen(name, known)


@app.command()
def resume(names: Names) -> None:
    """Claim from paused queues again."""
    with session("queues resume") as conn:
        for name in names:
            say(f"{name} is resumed." if admin.resume_queue(conn, name) else f"{name} was not paused.")


@app.command()
def remove(names: Names) -> None:
    """Remove queues that are no longer used, with their settings.

    A queue that has jobs, or that a worker serves, stays.
    """
    with session("queues remove") as conn:
        for name in names:
            letters = admin.remove_queue(conn, name)
            say(f"{name} is removed.")
            if letters:
                left = f"{plural(letters, 'dead letter')} of {name} {'is' if letters == 1 else 'are'} left"
                note(f"pgjobs: {left}: `pgjobs dead discard --queue {quote(name)}`.")


@app.command()
def keep(
    name: Name,
    what: Annotated[
        Literal["nothing", "everything"],
        typer.Argument(metavar="WHAT", help="nothing, or everything.", show_default=False),
    ],
) -> None:
    """Set whether a queue keeps completed jobs.

    nothing: they are deleted when they complete. everything: they go to history. Failed and
    cancelled jobs are always kept.
    """
    with session("queues keep") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        done = admin.keep_completed(conn, name, what == "everything")
    kept = "no completed jobs" if what == "nothing" else "completed jobs"
    say(f"{name} keeps {kept}." if done else f"{name} keeps {kept} already.")
    _note_unseen(name, known)


@app.command("limit")
def limit_(
    name: Name,
    concurrency: Concurrency = None,
    rate: Rate = None,
    burst: Burst = None,
    none: NoLimit = False,
) -> None:
    """Limit a queue over all workers. An option that is not given sets no limit. Running jobs are not affected."""
    limit = chosen(concurrency, rate, burst, none)
    with session("queues limit") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        admin.set_queue_limit(conn, name, limit)
    say(f"{name} now has: {limit}.")
    _note_unseen(name, known)


@app.command()
def aging(
    name: Name,
    seconds: Annotated[str, typer.Argument(metavar="SECONDS", help="A number of seconds, or off.", show_default=False)],
) -> None:
    """Raise waiting jobs by one priority each time this number of seconds has passed. off: priorities are strict."""
    number = _seconds(seconds)
    with session("queues aging") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        admin.set_queue_aging(conn, name, number)
    lifts = "has strict priorities" if number is None else f"raises waiting jobs by one priority every {number:g} s"
    say(f"{name} {lifts}.")
    _note_unseen(name, known)


@app.command()
def sla(
    name: Name,
    seconds: Annotated[str, typer.Argument(metavar="SECONDS", help="A number of seconds, or off.", show_default=False)],
) -> None:
    """Set for how long a due job may wait before it starts. It changes nothing about how jobs run."""
    number = _seconds(seconds)
    with session("queues sla") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        admin.set_queue_sla(conn, name, number)
    say(f"{name} has no SLA." if number is None else f"{name} has an SLA of {number:g} s.")
    _note_unseen(name, known)


def _seconds(text: str) -> float | None:
    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"{shorten_repr(text)} is not a number of seconds: give a number such as 60, or off."
        ) from None


def _note_unseen(name: str, known: set[str]) -> None:
    if name not in known:
        note(UNSEEN.format(name))
