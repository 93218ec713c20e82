"""`pgjobs tasks list|pause|resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from pgjobs.cli.arguments import Json
from pgjobs.cli.column import Column

app = typer.Typer(help="List, pause and resume tasks.", no_args_is_help=True, rich_markup_mode=None)

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
    from pgjobs import admin
    from pgjobs.admin.pauses import MAX_COUNTED
    from pgjobs.cli.output import print_json, print_table, when
    from pgjobs.cli.session import session

    with session("tasks list") as conn:
        found = admin.list_paused_tasks(conn)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            t.task,
            when(t.paused_at) or "",
            f"{t.parked:,}" if t.parked <= MAX_COUNTED else f"over {MAX_COUNTED:,}",
        ]
        for t in found
    ]
    print_table(COLUMNS, rows, empty="No task is paused.")


@app.command()
def pause(names: Names) -> None:
    """Start no more jobs of tasks. What runs ends; what is claimed is parked."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("tasks pause") as conn:
        for name in names:
            say(f"{name} is paused." if admin.pause_task(conn, name) else f"{name} was paused already.")


@app.command()
def resume(names: Names) -> None:
    """Let paused tasks go on, and put their parked jobs back."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.progress import progress
    from pgjobs.cli.session import session

    with session("tasks resume") as conn:
        for name in names:
            with progress("putting back") as on_progress:
                done = admin.resume_task(conn, name, on_progress=on_progress)
            say(f"{name} goes on." if done else f"{name} was not paused.")
