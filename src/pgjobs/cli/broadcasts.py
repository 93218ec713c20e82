"""`pgjobs broadcasts list|show`."""

from __future__ import annotations

from typing import Annotated

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.listing import print_list
from pgjobs.cli.output import Column, print_json, print_pairs, print_table, say, when
from pgjobs.cli.params import Json, Limit
from pgjobs.cli.session import session

app = command_group()

STATES = ("queued", "running", "completed", "failed", "gone")
COLUMNS = (
    Column("ID", right=True),
    Column("CALL", share=1),
    Column("ON"),
    Column("COMMITTED"),
    *(Column(state.upper(), right=True) for state in STATES),
)
RUN_COLUMNS = (
    Column("HOST"),
    Column("WORKER", right=True),
    Column("PID", right=True),
    Column("STATE"),
    Column("STARTED"),
    Column("FINISHED"),
    Column("ERROR", share=1),
)


@app.command("list")
def list_(limit: Limit = 20, as_json: Json = False) -> None:
    """List broadcasts, the newest first, and how many worker processes or hosts have run each."""
    with session("broadcasts list") as conn:
        found = admin.list_broadcasts(conn, limit=limit)
    print_list(
        found,
        COLUMNS,
        lambda each: [
            str(each.id),
            each.summary or each.task,
            each.on,
            when(each.committed_at) or "",
            *(str(getattr(each, state)) for state in STATES),
        ],
        empty="No broadcasts.",
        as_json=as_json,
    )


@app.command()
def show(
    broadcast: Annotated[int, typer.Argument(metavar="ID", help="Id of a broadcast.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show what came of a broadcast in each worker process or host."""
    with session("broadcasts show") as conn:
        found = admin.show_broadcast(conn, broadcast)
    if as_json:
        print_json(found)
        return
    print_pairs(
        [
            ("broadcast", str(found.id)),
            ("task", found.task),
            ("call", found.summary),
            ("on", found.on),
            ("committed", when(found.committed_at)),
            ("closes", when(found.closes_at)),
            ("state", ", ".join(f"{count} {state}" for state in STATES if (count := getattr(found, state))) or None),
        ]
    )
    say("")
    print_table(
        RUN_COLUMNS,
        [
            [
                run.host,
                "" if run.worker_id is None else str(run.worker_id),
                "" if run.pid is None else str(run.pid),
                run.state,
                when(run.started_at) or "",
                when(run.finished_at) or "",
                run.error or "",
            ]
            for run in found.runs
        ],
        empty="No worker process has to run it.",
    )
