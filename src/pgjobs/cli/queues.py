"""`pgjobs queues list|pause|resume|keep`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pgjobs.cli.arguments import Json
from pgjobs.cli.column import Column

app = typer.Typer(
    help="List, pause and resume queues, and say what they keep.", no_args_is_help=True, rich_markup_mode=None
)

COLUMNS = (Column("QUEUE"), Column("STATE"), Column("PAUSED SINCE"), Column("KEEPS"), Column("WORKER"))
UNSEEN = "pgjobs: no job and no worker of a queue {!r} has been seen yet. Is that its name?"
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of queues.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the queues that have settings or queued jobs."""
    from pgjobs.admin import queues as admin
    from pgjobs.cli.output import print_json, print_table, when
    from pgjobs.cli.session import session

    with session("queues list") as conn:
        found = admin.list_queues(conn)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            q.name,
            "paused" if q.paused else "open",
            when(q.paused_at) or "",
            "everything" if q.keep_completed else "nothing",
            "yes" if q.worked_on else "none",
        ]
        for q in found
    ]
    print_table(COLUMNS, rows, empty="No queue has jobs or settings yet.")


@app.command()
def pause(names: Names) -> None:
    """Claim nothing more from queues. What runs ends; what is enqueued waits."""
    from pgjobs.admin import queues as admin
    from pgjobs.cli.output import note, say
    from pgjobs.cli.session import session

    with session("queues pause") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        for name in names:
            done = admin.pause(conn, name)
            say(f"{name} is paused." if done else f"{name} was paused already.")
            if name not in known:
                note(UNSEEN.format(name))


@app.command()
def resume(names: Names) -> None:
    """Claim from paused queues again."""
    from pgjobs.admin import queues as admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("queues resume") as conn:
        for name in names:
            say(f"{name} goes on." if admin.resume(conn, name) else f"{name} was not paused.")


@app.command()
def keep(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a queue.", show_default=False)],
    what: Annotated[
        Literal["nothing", "everything"],
        typer.Argument(metavar="WHAT", help="nothing, or everything.", show_default=False),
    ],
) -> None:
    """Say whether a queue keeps completed jobs.

    nothing: they are deleted when they complete. everything: they go to history. Failed and cancelled jobs are kept.
    """
    from pgjobs.admin import queues as admin
    from pgjobs.cli.output import note, say
    from pgjobs.cli.session import session

    with session("queues keep") as conn:
        known = {queue.name for queue in admin.list_queues(conn)}
        done = admin.keep_completed(conn, name, what == "everything")
    kept = "nothing of what completes" if what == "nothing" else "everything"
    say(f"{name} keeps {kept}." if done else f"{name} kept {kept} already.")
    if name not in known:
        note(UNSEEN.format(name))
