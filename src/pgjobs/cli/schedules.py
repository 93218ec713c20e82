"""`pgjobs schedules list|show|add|pause|resume|remove|run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pgjobs.cli.arguments import Json
from pgjobs.cli.column import Column

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.admin import ScheduleRow

app = typer.Typer(help="List, add, pause and run schedules.", no_args_is_help=True, rich_markup_mode=None)

COLUMNS = (
    Column("NAME"),
    Column("WHEN"),
    Column("ZONE"),
    Column("STATE"),
    Column("NEXT", right=True),
    Column("LAST", right=True),
    Column("OF"),
    Column("JOB", share=1),
    Column("ERROR", share=1),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a schedule.", show_default=False)]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of schedules.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the schedules, of code and of operators."""
    from pgjobs import admin
    from pgjobs.cli.output import print_json, print_table
    from pgjobs.cli.session import session
    from pgjobs.db.query import clock

    with session("schedules list") as conn:
        found = admin.list_schedules(conn)
        now = clock(conn)
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [_row(each, now) for each in found], empty="No schedules.")


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show a schedule."""
    from pgjobs import admin
    from pgjobs.cli.output import print_json, print_pairs, when
    from pgjobs.cli.session import session

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
            ("of", found.app or "an operator"),
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
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.", show_default=False)],
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
        typer.Option(metavar="WHAT", help="What becomes of missed firings: skip, once, all."),
    ] = "once",
    overlap: Annotated[
        Literal["allow", "skip"], typer.Option(metavar="WHAT", help="skip: not while the last job waits or runs.")
    ] = "allow",
    queue: Annotated[
        str | None, typer.Option("--queue", "-q", metavar="NAME", help="Its queue. [default: the job's]")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(min=0, max=9, metavar="N", help="0 (first) to 9. [default: the job's]")
    ] = None,
    imports: Annotated[
        bool, typer.Option("--import/--no-import", help='Import the task here; without, it takes payload="json".')
    ] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Change the one that there may be.")] = False,
) -> None:
    """Add a schedule that belongs to no code."""
    from pgjobs import admin
    from pgjobs.cli.output import say, when
    from pgjobs.cli.session import session

    arguments = _arguments(args)
    options: dict[str, Any] = {"tz": tz, "missed": missed, "overlap": overlap, "queue": queue, "priority": priority}
    function: Any = _find(task) if imports else None
    with session("schedules add") as conn:
        if imports:
            by_position = tuple(arguments) if isinstance(arguments, list) else ()
            by_name = arguments if isinstance(arguments, dict) else None
            added = admin.add_schedule(conn, name, cron, function, by_position, by_name, replacing=replace, **options)
        else:
            added = admin.add_json_schedule(conn, name, cron, task, arguments, replacing=replace, **options)
    say(f"{added.name} fires next at {when(added.next_at)}.")


@app.command()
def pause(names: Names) -> None:
    """Enqueue nothing more, until they are resumed.

    A restart or a new version of the code changes nothing about that.
    """
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("schedules pause") as conn:
        for name in names:
            say(f"{name} is paused." if admin.pause_schedule(conn, name) else f"{name} was paused already.")


@app.command()
def resume(names: Names) -> None:
    """Let schedules go on, with the next firing from now.

    What would have fired during the pause is not made up for.
    """
    from pgjobs import admin
    from pgjobs.cli.output import say, when
    from pgjobs.cli.session import session

    with session("schedules resume") as conn:
        for name in names:
            done = admin.resume_schedule(conn, name)
            next_at = when(admin.show_schedule(conn, name).next_at)
            say(f"{name} goes on, next at {next_at}." if done else f"{name} was not paused.")


@app.command()
def remove(names: Names) -> None:
    """Remove schedules that were added, or that no code declares any more.

    Their jobs stay. One that is declared in code is paused, or removed there.
    """
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("schedules remove") as conn:
        for name in names:
            admin.remove_schedule(conn, name)
            say(f"{name} is removed.")


@app.command()
def run(name: Name) -> None:
    """Enqueue the job of a schedule now, once.

    That is no firing: the next one comes when it would have come.
    """
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("schedules run") as conn:
        job = admin.run_schedule(conn, name)
    if job.conflict:
        say(f"Job {job.id} has its unique key: there is no other one.")
    else:
        say(f"Job {job.id} is enqueued.")


def _arguments(text: str) -> list[Any] | dict[str, Any]:
    import json

    from pgjobs.core.errors import UsageError
    from pgjobs.core.text import shorten_repr

    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--args {shorten_repr(text)} is no JSON: {error}.") from None
    if not isinstance(arguments, list | dict):
        raise UsageError(f"--args {shorten_repr(text)}: give a list, or an object of arguments by name.")
    return arguments


def _find(task: str) -> Any:
    """Import what a task names; the current folder is searched, as `pgjobs work` does.

    Raises:
        UsageError: it is not there.

    """
    import sys
    from pathlib import Path

    from pgjobs.core.errors import UsageError
    from pgjobs.core.text import shorten_repr
    from pgjobs.payload.safe.lookup import find

    module, _, name = task.partition(":")
    if not module or not name:
        raise UsageError(f"the task {shorten_repr(task)}: give MODULE:FUNCTION, such as shop.tasks:report.")
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    try:
        return find(module, name, lambda owner, so_far: True)
    except (Exception, SystemExit) as error:  # what the module raises while it is imported is its own affair
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UsageError(
            f"{task} can not be imported here: {reason}. Run this where the code is, or use --no-import for a "
            'function with payload="json".'
        ) from error


def _row(each: ScheduleRow, now: datetime) -> list[str]:
    from pgjobs.cli.output import distance

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
