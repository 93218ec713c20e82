"""`pgjobs schedules list|show|add|pause|resume|remove|run`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.import_task import import_task
from pgjobs.cli.listing import print_list
from pgjobs.cli.output import Column, distance, print_json, print_pairs, say, when
from pgjobs.cli.params import Json
from pgjobs.cli.session import session
from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.db.query import clock

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.admin import ScheduleRow

app = command_group()

COLUMNS = (
    Column("NAME"),
    Column("WHEN"),
    Column("ZONE"),
    Column("STATE"),
    Column("NEXT", right=True),
    Column("LAST", right=True),
    Column("OWNER"),
    Column("JOB", share=1),
    Column("ERROR", share=1),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a schedule.", show_default=False)]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of schedules.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the schedules, of code and of operators."""
    with session("schedules list") as conn:
        found = admin.list_schedules(conn)
        now = clock(conn)
    print_list(found, COLUMNS, lambda each: _row(each, now), empty="No schedules.", as_json=as_json)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show a schedule."""
    with session("schedules show") as conn:
        found = admin.show_schedule(conn, name)
    if as_json:
        print_json(found)
        return
    print_pairs(
        [
            ("name", found.name),
            ("state", found.state),
            ("when", f"{found.cron} ({found.tz})"),
            ("missed", found.missed),
            ("overlap", found.overlap),
            ("job", found.summary or found.task),
            ("queue", found.queue),
            ("priority", str(found.priority)),
            ("owner", found.app or "an operator"),
            ("next", when(found.next_at)),
            ("last", when(found.last_at)),
            ("last job", None if found.last_job_id is None else str(found.last_job_id)),
            ("paused", when(found.paused_at)),
            ("retired", when(found.retired_at)),
            ("error", found.error),
        ]
    )


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.", show_default=False)],
    cron: Annotated[
        str, typer.Argument(metavar="CRON", help="Five fields, or six with the seconds first.", show_default=False)
    ],
    task: Annotated[str, typer.Argument(metavar="TASK", help="MODULE:FUNCTION.", show_default=False)],
    args: Annotated[
        str, typer.Option(metavar="JSON", help="Its arguments: a list, or an object of arguments by name.")
    ] = "[]",
    tz: Annotated[str, typer.Option(metavar="ZONE", help="The time zone, such as Europe/Berlin.")] = "UTC",
    missed: Annotated[
        Literal["skip", "once", "all"],
        typer.Option(metavar="WHAT", help="What happens to missed firings: skip, once, all."),
    ] = "once",
    overlap: Annotated[
        Literal["allow", "skip"],
        typer.Option(metavar="WHAT", help="skip: do not fire while the last job waits or runs."),
    ] = "allow",
    queue: Annotated[
        str | None, typer.Option("--queue", "-q", metavar="NAME", help="Its queue. [default: the job's]")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(min=0, max=9, metavar="N", help="0 (first) to 9. [default: the job's]")
    ] = None,
    imports: Annotated[
        bool,
        typer.Option("--import/--no-import", help='Import the task here, or only store its name (for payload="json").'),
    ] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a schedule of this name.")] = False,
) -> None:
    """Add a schedule that no code declares."""
    arguments = _arguments(args)
    options: dict[str, Any] = {"tz": tz, "missed": missed, "overlap": overlap, "queue": queue, "priority": priority}
    function: Any = import_task(task) if imports else task
    by_position = arguments if isinstance(arguments, list) else ()
    by_name = arguments if isinstance(arguments, dict) else None
    with session("schedules add") as conn:
        added = admin.add_schedule(conn, name, cron, function, by_position, by_name, replacing=replace, **options)
    say(f"{added.name} fires next at {when(added.next_at)}.")


@app.command()
def pause(names: Names) -> None:
    """Stop firing schedules until they are resumed.

    They stay paused after a restart or a new version of the code.
    """
    with session("schedules pause") as conn:
        for name in names:
            say(f"{name} is paused." if admin.pause_schedule(conn, name) else f"{name} was paused already.")


@app.command()
def resume(names: Names) -> None:
    """Resume schedules, with the next firing from now.

    Firings that the pause skipped are not made up.
    """
    with session("schedules resume") as conn:
        for name in names:
            done = admin.resume_schedule(conn, name)
            next_at = when(admin.show_schedule(conn, name).next_at)
            say(f"{name} is resumed, next at {next_at}." if done else f"{name} was not paused.")


@app.command()
def remove(names: Names) -> None:
    """Remove schedules that were added here, or that no code declares any longer.

    Their jobs stay. A schedule that code declares can be paused here, and removed in the code.
    """
    with session("schedules remove") as conn:
        for name in names:
            admin.remove_schedule(conn, name)
            say(f"{name} is removed.")


@app.command()
def run(name: Name) -> None:
    """Enqueue the job of a schedule now, once.

    This is not a firing: the next one comes when it is due.
    """
    with session("schedules run") as conn:
        job = admin.run_schedule(conn, name)
    if job.conflict:
        say(f"Job {job.id} has the unique key already: no other job was enqueued.")
    else:
        say(f"Job {job.id} is enqueued.")


def _arguments(text: str) -> list[Any] | dict[str, Any]:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--args {shorten_repr(text)} is not JSON: {error}.") from None
    if not isinstance(arguments, list | dict):
        raise UsageError(f"--args {shorten_repr(text)}: give a list, or an object of arguments by name.")
    return arguments


def _row(each: ScheduleRow, now: datetime) -> list[str]:
    return [
        each.name,
        each.cron,
        each.tz,
        each.state,
        distance(each.next_at, now) if each.next_at and each.state == "active" else "",
        distance(each.last_at, now) if each.last_at else "",
        each.app or "operator",
        each.summary or each.task,
        each.error or "",
    ]
