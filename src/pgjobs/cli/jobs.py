"""`pgjobs jobs list|show|retry|cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pgjobs.cli.arguments import Ids, Json, Limit, QueueFilter, TaskFilter
from pgjobs.cli.column import Column

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.admin.detail import JobRow

app = typer.Typer(help="List, show, retry and cancel jobs.", no_args_is_help=True, rich_markup_mode=None)

COLUMNS = (
    Column("ID", right=True),
    Column("STATUS"),
    Column("QUEUE"),
    Column("TRY", right=True),
    Column("WHEN", right=True),
    Column("JOB", share=1),
    Column("ERROR", share=1),
)


@app.command("list")
def list_(
    status: Annotated[
        Literal["waiting", "queued", "running", "completed", "failed", "cancelled"] | None,
        typer.Option("--status", "-s", metavar="STATUS", help="Only jobs in this status."),
    ] = None,
    queue: QueueFilter = None,
    task: TaskFilter = None,
    limit: Limit = 50,
    before: Annotated[int | None, typer.Option(min=0, metavar="ID", help="Only ids below: the next page.")] = None,
    as_json: Json = False,
) -> None:
    """List jobs, the newest first."""
    from pgjobs.admin import jobs as admin
    from pgjobs.admin.rows import clock
    from pgjobs.cli.output import print_json, print_table
    from pgjobs.cli.session import session

    with session("jobs list") as conn:
        found = admin.list_jobs(conn, status=status, queue=queue, task=task, limit=limit, before=before)
        now = clock(conn)
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [_row(job, now) for job in found], empty="No such jobs.")


@app.command()
def show(
    id: Annotated[int, typer.Argument(metavar="ID", help="The job's id.", show_default=False)], as_json: Json = False
) -> None:
    """Show all about one job.

    Its times, and the error and traceback of every failed attempt.
    """
    from pgjobs.admin.detail import get_job
    from pgjobs.cli.output import print_json
    from pgjobs.cli.report import print_job
    from pgjobs.cli.session import session

    with session("jobs show") as conn:
        job = get_job(conn, id)
    if as_json:
        print_json(job)
    else:
        print_job(job)


@app.command()
def retry(ids: Ids) -> None:
    """Queue finished jobs again; run later ones now.

    They keep their ids and their errors, and get fresh attempts.
    """
    from pgjobs.admin import jobs as admin
    from pgjobs.cli.report import report
    from pgjobs.cli.session import session

    with session("jobs retry") as conn:
        change = admin.retry_jobs(conn, ids)
    report(change, "queued, due now", noun="job")


@app.command()
def cancel(ids: Ids) -> None:
    """Cancel jobs that have not started."""
    from pgjobs.admin import jobs as admin
    from pgjobs.cli.report import report
    from pgjobs.cli.session import session

    with session("jobs cancel") as conn:
        change = admin.cancel_jobs(conn, ids)
    report(change, "cancelled", noun="job")


def _row(job: JobRow, now: datetime) -> list[str]:
    from pgjobs.cli.output import distance
    from pgjobs.cli.report import tries

    moment = job.finished_at or job.started_at or job.run_at
    return [
        str(job.id),
        job.status,
        job.queue,
        tries(job),
        distance(moment, now),
        job.summary or job.task,
        job.error or "",
    ]
