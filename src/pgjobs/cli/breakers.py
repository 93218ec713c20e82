"""`pgjobs breakers list|show|open|close|auto|remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgjobs.cli.arguments import Json
from pgjobs.cli.column import Column

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from pgjobs.admin import BreakerInfo

app = typer.Typer(
    help="See circuit breakers, and open or close them by hand.", no_args_is_help=True, rich_markup_mode=None
)

COLUMNS = (
    Column("BREAKER"),
    Column("STATE"),
    Column("UNTIL"),
    Column("CALLS", right=True),
    Column("FAILED", right=True),
    Column("RUNNING", right=True),
    Column("CHANGED"),
    Column("WHY", share=1),
)
UNSEEN = "pgjobs: no worker has met a breaker {!r} yet. If that is not its name: `pgjobs breakers remove {}`."
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a breaker.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the breakers that workers have met."""
    from pgjobs import admin
    from pgjobs.cli.output import distance, print_json, print_table
    from pgjobs.cli.session import session
    from pgjobs.db.query import clock

    with session("breakers list") as conn:
        found = admin.list_breakers(conn)
        now = clock(conn)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            b.name,
            _state(b),
            _until(b, now),
            str(b.calls),
            str(b.failed),
            str(b.running),
            "" if b.changed_at is None else distance(b.changed_at, now),
            b.reason or "",
        ]
        for b in found
    ]
    print_table(COLUMNS, rows, empty="No breaker has been met by a worker yet.")


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show all about a breaker: its state, what it counts, its settings."""
    from pgjobs import admin
    from pgjobs.cli.output import print_json, print_pairs, when
    from pgjobs.cli.session import session
    from pgjobs.db.query import clock

    with session("breakers show") as conn:
        found = admin.show_breaker(conn, name)
        now = clock(conn)
    if as_json:
        print_json(found)
        return
    print_pairs(
        [
            ("breaker", found.name),
            ("state", _state(found)),
            ("until", _until(found, now) or None),
            ("why", found.reason),
            ("changed", when(found.changed_at)),
            ("by", found.changed_by),
            ("calls", f"{found.calls:,} in the last {found.window:g} s, {found.failed:,} failed"),
            ("probes", f"{found.passed} of {found.probes} succeeded" if found.state == "half_open" else None),
            ("running", f"{found.running:,}"),
            (
                "opens",
                f"at {found.failures * 100:g} % failed of {found.min_calls:,} calls at least in {found.window:g} s",
            ),
            ("then", f"nothing for {found.cooldown:g} s, {found.probes} at a time, closed when so many succeed"),
        ]
    )


@app.command("open")
def open_(
    name: Name,
    seconds: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", help="Then let it try probes (default: until told otherwise)."),
    ] = None,
) -> None:
    """Let none of its jobs start: they wait, and use no attempts. What runs, ends."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("breakers open") as conn:
        known = _known(conn, name)
        admin.open_breaker(conn, name, seconds, by=_who())
    say(f"{name} is open until told otherwise." if seconds is None else f"{name} is open for {seconds:g} s.")
    _doubt(name, known=known)


@app.command()
def close(
    name: Name,
    stay: Annotated[bool, typer.Option("--stay", help="Stay closed, whatever fails, until told otherwise.")] = False,
) -> None:
    """Let all of its jobs start. From here on it decides by itself, with nothing counted."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("breakers close") as conn:
        known = _known(conn, name)
        admin.close_breaker(conn, name, stay=stay, by=_who())
    say(f"{name} is closed until told otherwise." if stay else f"{name} is closed.")
    _doubt(name, known=known)


@app.command()
def auto(name: Name) -> None:
    """Let it decide by itself again. One that is not closed tries probes at once."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("breakers auto") as conn:
        known = _known(conn, name)
        admin.auto_breaker(conn, name, by=_who())
        now = admin.show_breaker(conn, name)
    say(f"{name} decides by itself, and is {_state(now)}.")
    _doubt(name, known=known)


@app.command()
def remove(name: Name) -> None:
    """Remove one that no job uses any more. One that is used lets all go on, and comes back when a job of it ends."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("breakers remove") as conn:
        admin.remove_breaker(conn, name)
    say(f"{name} is removed.")


def _state(breaker: BreakerInfo) -> str:
    state = breaker.state.replace("_", "-")
    return f"{state} by hand" if breaker.forced else state


def _until(breaker: BreakerInfo, now: datetime) -> str:
    """Say how long it stays open."""
    from pgjobs.cli.output import distance

    if breaker.state != "open" or breaker.until is None:
        return ""
    return "told otherwise" if breaker.until.year == 9999 else distance(breaker.until, now)


def _known(conn: psycopg.Connection, name: str) -> bool:
    from pgjobs import admin

    return any(breaker.name == name for breaker in admin.list_breakers(conn))


def _doubt(name: str, *, known: bool) -> None:
    import shlex

    from pgjobs.cli.output import note

    if not known:
        note(UNSEEN.format(name, shlex.quote(name)))


def _who() -> str:
    """Name who is at the command line."""
    import getpass
    import socket

    try:
        return f"{getpass.getuser()} at {socket.gethostname()}"
    except (KeyError, OSError):  # a user without a name
        return f"operator at {socket.gethostname()}"
