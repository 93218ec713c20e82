"""`pgjobs workflows list|show|retry|cancel|signal|pause|resume`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.listing import print_list
from pgjobs.cli.output import Column, distance, print_json, print_pairs, say, when
from pgjobs.cli.params import Json, Limit
from pgjobs.cli.session import session
from pgjobs.cli.workflow_graph import draw
from pgjobs.core.errors import UsageError
from pgjobs.db.query import clock

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.admin import WorkflowRow

app = command_group()

COLUMNS = (
    Column("ID", right=True),
    Column("STATUS"),
    Column("STEPS", right=True),
    Column("DONE", right=True),
    Column("ACTIVE", right=True),
    Column("FAILED", right=True),
    Column("WHEN", right=True),
    Column("NAME", share=2),
    Column("KEY", share=1),
)
WorkflowId = Annotated[int, typer.Argument(metavar="ID", min=0, help="Id of a workflow.", show_default=False)]


@app.command("list")
def list_(
    status: Annotated[
        Literal["running", "stuck", "completed", "failed", "cancelled"] | None,
        typer.Option("--status", "-s", metavar="STATUS", help="Only workflows in this status."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", metavar="NAME", help="Only this name, or a glob such as 'import-*'.")
    ] = None,
    limit: Limit = 50,
    before: Annotated[int | None, typer.Option(min=0, metavar="ID", help="Only ids below: the next page.")] = None,
    as_json: Json = False,
) -> None:
    """List workflows, the newest first."""
    with session("workflows list") as conn:
        found = admin.list_workflows(conn, status=status, name=name, limit=limit, before=before)
        now = clock(conn)
    print_list(found, COLUMNS, lambda each: _row(each, now), empty="No such workflows.", as_json=as_json)


@app.command()
def show(workflow: WorkflowId, as_json: Json = False) -> None:
    """Show a workflow: its graph, what runs, what failed, what is left, and the slowest way through it."""
    with session("workflows show") as conn:
        found = admin.show_workflow(conn, workflow)
    if as_json:
        print_json(found)
        return
    left = found.steps - found.completed - found.failed - found.cancelled - found.skipped
    ends = [("failed", found.failed), ("cancelled", found.cancelled), ("skipped", found.skipped)]
    print_pairs(
        [
            ("workflow", f"{found.id} {found.name}"),
            ("key", found.key),
            ("status", _status(found)),
            ("steps", f"{found.completed:,} of {found.steps:,} completed"),
            ("left", f"{left:,}, {found.active:,} of them may run" if left else None),
            *((what, f"{count:,}" if count else None) for what, count in ends),
            ("enqueued", when(found.created_at)),
            ("ended", when(found.ended_at)),
            ("why", found.cancel_reason),
        ]
    )
    for line in draw(found.nodes, found.path):
        say(line)


@app.command()
def retry(
    workflow: WorkflowId,
    after: Annotated[bool, typer.Option("--after", help="Also all that waited for what failed.")] = False,
    whole: Annotated[bool, typer.Option("--all", help="All steps.")] = False,
) -> None:
    """Run again what failed or was cancelled, with a fresh budget of attempts."""
    with session("workflows retry") as conn:
        found = admin.retry_workflow(conn, workflow, what="all" if whole else "after" if after else "failed")
    _say(found)


@app.command()
def cancel(
    workflow: WorkflowId,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Becomes the error of its steps.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Raise JobCancelled in steps that run in threads.")] = False,
) -> None:
    """Cancel all steps that have not ended. Running ones are asked to end; nothing is called back."""
    with session("workflows cancel") as conn:
        given = {} if reason is None else {"reason": reason}
        found = admin.cancel_workflow(conn, workflow, force=force, **given)
    _say(found)


@app.command()
def signal(
    workflow: WorkflowId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What wait_for was called with.", show_default=False)],
    payload: Annotated[str, typer.Argument(metavar="JSON", help="What it returns.", show_default=False)] = "null",
) -> None:
    """Send a signal to the steps of a workflow that wait for it, or will."""
    try:
        value = json.loads(payload)
    except ValueError:
        raise UsageError(f"{payload!r} is not JSON: a text has quotes, as in '\"ada\"'.") from None
    with session("workflows signal") as conn:
        is_first = admin.signal_workflow(conn, workflow, name, value)
    say(f"Said to workflow {workflow}." if is_first else f"Nothing changed: {name!r} was said before, and stays.")


@app.command()
def pause(workflow: WorkflowId) -> None:
    """Start no more of its steps. Those that run finish their attempts; one that waits for a retry is held, too."""
    with session("workflows pause") as conn:
        found = admin.pause_workflow(conn, workflow)
    _say(found)


@app.command()
def resume(workflow: WorkflowId) -> None:
    """Start its steps again."""
    with session("workflows resume") as conn:
        found = admin.resume_workflow(conn, workflow)
    _say(found)


def _say(workflow: WorkflowRow) -> None:
    say(
        f"Workflow {workflow.id} ({workflow.name}) is {_status(workflow)}: {workflow.completed:,} of "
        f"{workflow.steps:,} steps completed, {workflow.active:,} may run."
    )


def _status(workflow: WorkflowRow) -> str:
    if workflow.ended_at is None and workflow.cancelled_at is not None:
        return "about to be cancelled"
    return f"{workflow.status}, paused" if workflow.paused_at is not None else workflow.status


def _row(workflow: WorkflowRow, now: datetime) -> list[str]:
    return [
        str(workflow.id),
        _status(workflow),
        f"{workflow.steps:,}",
        f"{workflow.completed:,}",
        f"{workflow.active:,}",
        f"{workflow.failed + workflow.cancelled:,}",
        distance(workflow.ended_at or workflow.created_at, now),
        workflow.name,
        workflow.key or "",
    ]
