"""`pgjobs subscriptions list|show|pause|resume|remove|replay|topics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.listing import print_list
from pgjobs.cli.output import Column, print_json, print_pairs, say, when
from pgjobs.cli.params import Json, parse_time
from pgjobs.cli.session import session
from pgjobs.core.durations import read_duration
from pgjobs.core.text import plural

if TYPE_CHECKING:
    from datetime import datetime

app = command_group()

COLUMNS = (
    Column("NAME", share=1),
    Column("TOPICS"),
    Column("STATE"),
    Column("QUEUE"),
    Column("PRIORITY", right=True),
    Column("OWNER"),
)
TOPIC_COLUMNS = (Column("TOPICS"), Column("KEEP", right=True), Column("STATE"), Column("OWNER"))
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a subscription.", show_default=False)]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of subscriptions.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the subscriptions to events."""
    with session("subscriptions list") as conn:
        found = admin.list_subscriptions(conn)
    print_list(
        found,
        COLUMNS,
        lambda each: [each.name, each.pattern, each.state, each.queue, str(each.priority), each.app],
        empty="No subscriptions.",
        as_json=as_json,
    )


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show a subscription."""
    with session("subscriptions show") as conn:
        found = admin.show_subscription(conn, name)
    if as_json:
        print_json(found)
        return
    print_pairs(
        [
            ("name", found.name),
            ("state", found.state),
            ("topics", found.pattern),
            ("queue", found.queue),
            ("priority", str(found.priority)),
            ("attempts", str(found.max_attempts)),
            ("owner", found.app),
            ("paused", when(found.paused_at)),
            ("drops since", when(found.drops_since)),
            ("retired", when(found.retired_at)),
            ("declared", when(found.created_at)),
            ("changed", when(found.updated_at)),
        ]
    )


@app.command()
def pause(
    names: Names,
    drop: Annotated[bool, typer.Option("--drop", help="Drop the events instead of keeping them as jobs.")] = False,
) -> None:
    """Have the events of subscriptions wait as jobs until they are resumed, or drop them.

    They stay paused after a restart or a new version of the code. Running jobs are not stopped.
    """
    with session("subscriptions pause") as conn:
        for name in names:
            done = admin.pause_subscription(conn, name, drop=drop)
            what = "drops its events" if drop else "is paused, and its events wait"
            say(f"{name} {what}." if done else f"{name} {what} already.")


@app.command()
def resume(names: Names) -> None:
    """Resume subscriptions: what waits is run, and events make jobs again. What was dropped is lost."""
    with session("subscriptions resume") as conn:
        for name in names:
            say(f"{name} is resumed." if admin.resume_subscription(conn, name) else f"{name} was not paused.")


@app.command()
def remove(names: Names) -> None:
    """Remove subscriptions that no code declares any longer.

    Their jobs stay. A subscription that code declares can be paused here, and removed in the code.
    """
    with session("subscriptions remove") as conn:
        for name in names:
            admin.remove_subscription(conn, name)
            say(f"{name} is removed.")


@app.command()
def replay(
    name: Name,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="From when on: a time, or how long ago (7d). [default: all]"),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to when. [default: now]")] = None,
) -> None:
    """Make jobs of the events that topics have kept, for one subscription.

    An event that had a job of it gets no other one, however often this is done.
    """
    start: datetime | float | None = None
    if since is not None:
        ago = read_duration(since)
        start = parse_time("--since", since) if ago is None else ago
    end = None if until is None else parse_time("--until", until)
    with session("subscriptions replay") as conn:
        done = admin.replay_events(conn, name, since=start, until=end)
    say(f"{plural(done.made, 'job')} made of {plural(done.seen, 'kept event')}.")


@app.command()
def topics(as_json: Json = False) -> None:
    """List the topics that keep their events for a replay."""
    with session("subscriptions topics") as conn:
        found = admin.list_topics(conn)
    print_list(
        found,
        TOPIC_COLUMNS,
        lambda each: [each.pattern, str(each.keep), each.state, each.app],
        empty="No topic keeps its events.",
        as_json=as_json,
    )
