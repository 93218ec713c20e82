"""`pgjobs tasks list|pause|resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgjobs import admin
from pgjobs.admin.pauses import MAX_COUNTED
from pgjobs.cli.commands import command_group
from pgjobs.cli.listing import print_list
from pgjobs.cli.output import Column, say, when
from pgjobs.cli.params import Json
from pgjobs.cli.session import session
from pgjobs.cli.terminal import progress

if TYPE_CHECKING:
    from pgjobs.admin.pauses import PausedTask

app = command_group()

COLUMNS = (Column("TASK"), Column("PAUSED SINCE"), Column("PARKED", right=True))
Names = Annotated[
    list[str],
    typer.Argument(
        metavar="TASK...", help="Tasks (module:name), modules, or globs such as 'shop.*:send_?'.", show_default=False
    ),
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the paused tasks, and how many of their jobs are parked."""
    with session("tasks list") as conn:
        found = admin.list_paused_tasks(conn)
    print_list(found, COLUMNS, _row, empty="No task is paused.", as_json=as_json)


@app.command()
def pause(names: Names) -> None:
    """Stop starting jobs of tasks. Running jobs finish; claimed jobs are parked."""
    with session("tasks pause") as conn:
        for name in names:
            say(f"{name} is paused." if admin.pause_task(conn, name) else f"{name} was paused already.")


@app.command()
def resume(names: Names) -> None:
    """Resume paused tasks, and put their parked jobs back."""
    with session("tasks resume") as conn:
        for name in names:
            with progress("putting back") as on_progress:
                done = admin.resume_task(conn, name, on_progress=on_progress)
            say(f"{name} is resumed." if done else f"{name} was not paused.")


def _row(task: PausedTask) -> list[str]:
    over = task.parked > MAX_COUNTED
    return [task.task, when(task.paused_at) or "", f"over {MAX_COUNTED:,}" if over else f"{task.parked:,}"]
