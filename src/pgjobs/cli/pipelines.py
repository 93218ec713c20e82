"""`pgjobs pipelines list|show|pause|resume|remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.listing import print_list
from pgjobs.cli.output import Column, print_json, print_pairs, print_table, say, when
from pgjobs.cli.params import Json
from pgjobs.cli.session import session

if TYPE_CHECKING:
    from pgjobs.admin import PipelineRow, PipelineStage

app = command_group()

COLUMNS = (
    Column("NAME"),
    Column("STATE"),
    Column("WAITING", right=True),
    Column("RUNNING", right=True),
    Column("DEAD", right=True),
    Column("AT MOST", right=True),
    Column("JAMS AT"),
    Column("STAGES", share=1),
)
STAGE_COLUMNS = (
    Column("STAGE"),
    Column("QUEUE"),
    Column("WAITING", right=True),
    Column("ROOM", right=True),
    Column("RUNNING", right=True),
    Column("PER SECOND", right=True),
    Column("DEAD", right=True),
    Column("HELD UP BY", share=1),
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a pipeline.", show_default=False)]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of pipelines.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the pipelines, with what is in them and where they jam."""
    with session("pipelines list") as conn:
        found = admin.list_pipelines(conn)
    print_list(found, COLUMNS, _row, empty="No pipelines.", as_json=as_json)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show a pipeline: the items in each stage, how fast they go, the room that is left, and where it jams."""
    with session("pipelines show") as conn:
        found = admin.show_pipeline(conn, name)
    if as_json:
        print_json(found)
        return
    print_pairs(
        [
            ("name", found.name),
            ("state", found.state),
            ("at most", f"{found.at_most:,} wait in each stage behind the first"),
            ("jams at", found.jam),
            ("owner", found.app),
            ("paused", when(found.paused_at)),
            ("retired", when(found.retired_at)),
            ("declared", when(found.created_at)),
            ("changed", when(found.updated_at)),
        ]
    )
    print_table(STAGE_COLUMNS, [_stage(stage) for stage in found.stages], empty="No stages.")


@app.command()
def pause(names: Names) -> None:
    """Hold the first stages of pipelines. What is in later stages goes through, so that they run empty.

    They stay paused after a restart or a new version of the code. Running jobs are not stopped.
    """
    with session("pipelines pause") as conn:
        for name in names:
            done = admin.pause_pipeline(conn, name)
            say(f"{name} is paused at its first stage." if done else f"{name} is paused already.")


@app.command()
def resume(names: Names) -> None:
    """Resume pipelines."""
    with session("pipelines resume") as conn:
        for name in names:
            say(f"{name} is resumed." if admin.resume_pipeline(conn, name) else f"{name} was not paused.")


@app.command()
def remove(names: Names) -> None:
    """Remove pipelines that no code declares any longer. Items that are in them stay, and cannot run."""
    with session("pipelines remove") as conn:
        for name in names:
            admin.remove_pipeline(conn, name)
            say(f"{name} is removed.")


def _row(found: PipelineRow) -> list[str]:
    stages = found.stages
    return [
        found.name,
        found.state,
        f"{sum(stage.waiting for stage in stages):,}",
        f"{sum(stage.running for stage in stages):,}",
        f"{sum(stage.dead for stage in stages):,}",
        f"{found.at_most:,}",
        found.jam or "-",
        " >> ".join(stage.name for stage in stages),
    ]


def _stage(stage: PipelineStage) -> list[str]:
    return [
        stage.name,
        stage.queue,
        f"{stage.waiting:,}",
        "-" if stage.room is None else f"{stage.room:,}",
        f"{stage.running:,}",
        f"{stage.rate:,.1f}",
        f"{stage.dead:,}",
        "-" if stage.waits_for is None else f"no room in {stage.waits_for}",
    ]
