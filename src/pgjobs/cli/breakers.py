"""`pgjobs breakers list|show|open|close|auto|remove`."""

from __future__ import annotations

import getpass
import shlex
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.output import Column, distance, note, print_json, print_pairs, print_table, say, when
from pgjobs.cli.params import Json
from pgjobs.cli.session import session
from pgjobs.db.query import clock

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from pgjobs.admin import BreakerInfo

app = command_group()

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
UNSEEN = "pgjobs: no worker has used a breaker {!r} yet. If the name is wrong: `pgjobs breakers remove {}`."
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a breaker.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the breakers that workers have used."""
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
    print_table(COLUMNS, rows, empty="No worker has used a breaker yet.")


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show everything about a breaker: its state, counts and settings."""
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
                f"when {found.failures * 100:g} % of {found.min_calls:,} or more calls in {found.window:g} s failed",
            ),
            (
                "then",
                f"no calls for {found.cooldown:g} s, then {found.probes} at a time; closes when {found.probes} succeed",
            ),
        ]
    )


@app.command("open")
def open_(
    name: Name,
    seconds: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", help="Then try probes (default: stay open until changed)."),
    ] = None,
) -> None:
    """Start none of its jobs: they wait, and use no attempts. Running jobs finish."""
    with session("breakers open") as conn:
        known = _known(conn, name)
        admin.open_breaker(conn, name, seconds, by=_who())
    say(f"{name} is open until changed." if seconds is None else f"{name} is open for {seconds:g} s.")
    _note_unknown(name, known=known)


@app.command()
def close(
    name: Name,
    stay: Annotated[bool, typer.Option("--stay", help="Stay closed until changed, whatever fails.")] = False,
) -> None:
    """Start all of its jobs. The breaker decides automatically from now on, and counts from zero."""
    with session("breakers close") as conn:
        known = _known(conn, name)
        admin.close_breaker(conn, name, stay=stay, by=_who())
    say(f"{name} is closed until changed." if stay else f"{name} is closed.")
    _note_unknown(name, known=known)


@app.command()
def auto(name: Name) -> None:
    """Make the breaker decide automatically again. If it is not closed, it tries probes at once."""
    with session("breakers auto") as conn:
        known = _known(conn, name)
        admin.auto_breaker(conn, name, by=_who())
        now = admin.show_breaker(conn, name)
    say(f"{name} decides automatically, and is {_state(now)}.")
    _note_unknown(name, known=known)


@app.command()
def remove(name: Name) -> None:
    """Remove a breaker that no job uses any longer. One that is still used comes back when its next job ends."""
    with session("breakers remove") as conn:
        admin.remove_breaker(conn, name)
    say(f"{name} is removed.")


def _state(breaker: BreakerInfo) -> str:
    state = breaker.state.replace("_", "-")
    return f"{state} by hand" if breaker.forced else state


def _until(breaker: BreakerInfo, now: datetime) -> str:
    """Write until when it stays open."""
    if breaker.state != "open" or breaker.until is None:
        return ""
    return "changed" if breaker.until.year == 9999 else distance(breaker.until, now)


def _known(conn: psycopg.Connection, name: str) -> bool:
    return any(breaker.name == name for breaker in admin.list_breakers(conn))


def _note_unknown(name: str, *, known: bool) -> None:
    if not known:
        note(UNSEEN.format(name, shlex.quote(name)))


def _who() -> str:
    """Return the user and host that a change is recorded under."""
    try:
        return f"{getpass.getuser()} at {socket.gethostname()}"
    except (KeyError, OSError):  # the user has no name
        return f"operator at {socket.gethostname()}"
