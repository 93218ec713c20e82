"""`pgjobs queues list|pause|resume|keep|limit|aging`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pgjobs.cli.arguments import Burst, Concurrency, Json, NoLimit, Rate
from pgjobs.cli.column import Column

app = typer.Typer(
    help="List, pause and limit queues, and say what they keep.", no_args_is_help=True, rich_markup_mode=None
)

COLUMNS = (
    Column("QUEUE"),
    Column("STATE"),
    Column("PAUSED SINCE"),
    Column("KEEPS"),
    Column("WORKER"),
    Column("LIMIT"),
    Column("AGING"),
)
UNSEEN = "pgjobs: no job and no worker of a queue {!r} has been seen yet. Is that its name?"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a queue.", show_default=False)]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of queues.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the queues that have settings or queued jobs."""
    from pgjobs import admin
    from pgjobs.admin.limits import limit_of
    from pgjobs.cli.output import print_json, print_table, when
    from pgjobs.cli.session import session
    from pgjobs.flow.limits import NO_LIMIT

    with session("queues list") as conn:
        found = admin.list_queues(conn)
    if as_json:
        print_json(found)
        return
    limits = [limit_of(q.concurrency, q.rate, q.period, q.burst) for q in found]
    rows = [
        [
            q.name,
            "paused" if q.paused else "open",
            when(q.paused_at) or "",
            "everything" if q.keep_completed else "nothing",
            "yes" if q.worked_on else "none",
            "" if limit == NO_LIMIT else str(limit),
            "" if q.aging is None else f"{q.aging:g} s",
        ]
        for q, limit in zip(found, limits, strict=True)
    ]
    print_table(COLUMNS, rows, empty="No queue has jobs or settings yet.")


@app.command()
def pause(names: Names) -> None:
    """Claim nothing more from queues. What runs ends; what is enqueued waits."""
    from pgjobs import admin
    from pgjobs.cli.output import note, say
    from pgjobs.cli.session import session

    with session("queues pause") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        for name in names:
            done = admin.pause_queue(conn, name)
            say(f"{name} is paused." if done else f"{name} was paused already.")
            if name not in known:
                note(UNSEEN.format(name))


@app.command()
def resume(names: Names) -> None:
    """Claim from paused queues again."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("queues resume") as conn:
        for name in names:
            say(f"{name} goes on." if admin.resume_queue(conn, name) else f"{name} was not paused.")


@app.command()
def keep(
    name: Name,
    what: Annotated[
        Literal["nothing", "everything"],
        typer.Argument(metavar="WHAT", help="nothing, or everything.", show_default=False),
    ],
) -> None:
    """Say whether a queue keeps completed jobs.

    nothing: they are deleted when they complete. everything: they go to history. Failed and cancelled jobs are kept.
    """
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("queues keep") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        done = admin.keep_completed(conn, name, what == "everything")
    kept = "nothing of what completes" if what == "nothing" else "everything"
    say(f"{name} keeps {kept}." if done else f"{name} kept {kept} already.")
    _note_unseen(name, known)


@app.command("limit")
def limit_(
    name: Name,
    concurrency: Concurrency = None,
    rate: Rate = None,
    burst: Burst = None,
    none: NoLimit = False,
) -> None:
    """Limit a queue over all workers. What is not given is not limited; what runs already goes on."""
    from pgjobs import admin
    from pgjobs.cli.limits import chosen
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    limit = chosen(concurrency, rate, burst, none)
    with session("queues limit") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        admin.set_queue_limit(conn, name, limit)
    say(f"{name} has now: {limit}.")
    _note_unseen(name, known)


@app.command()
def aging(
    name: Name,
    seconds: Annotated[str, typer.Argument(metavar="SECONDS", help="A number of seconds, or off.", show_default=False)],
) -> None:
    """Lift jobs that wait: by one priority each time that so many seconds have passed. off: priorities are strict."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    number = _seconds(seconds)
    with session("queues aging") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        admin.set_queue_aging(conn, name, number)
    lifts = "has strict priorities" if number is None else f"lifts what waits by one priority every {number:g} s"
    say(f"{name} {lifts}.")
    _note_unseen(name, known)


def _seconds(text: str) -> float | None:
    from pgjobs.core.errors import UsageError
    from pgjobs.core.text import shorten_repr

    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{shorten_repr(text)} is no number of seconds: give a number such as 60, or off.") from None


def _note_unseen(name: str, known: set[str]) -> None:
    from pgjobs.cli.output import note

    if name not in known:
        note(UNSEEN.format(name))
