"""`pgjobs jobs list|show|retry|cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pgjobs.cli.arguments import Ids, Limit, QueueFilter, TaskFilter
from pgjobs.cli.output import Column, Json

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.admin.changes import Change
    from pgjobs.admin.detail import JobDetail, JobRow

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
    from pgjobs.cli.session import session

    with session("jobs retry") as conn:
        change = admin.retry_jobs(conn, ids)
    report(change, "queued, due now", noun="job")


@app.command()
def cancel(ids: Ids) -> None:
    """Cancel jobs that have not started."""
    from pgjobs.admin import jobs as admin
    from pgjobs.cli.session import session

    with session("jobs cancel") as conn:
        change = admin.cancel_jobs(conn, ids)
    report(change, "cancelled", noun="job")


def report(change: Change, done: str, *, noun: str) -> None:
    """Say what was done, and what was refused and why; exit with 1 if anything was.

    Raises:
        typer.Exit: something was refused.

    """
    from pgjobs.cli.output import note, plural, say

    if change.done:
        say(f"{plural(len(change.done), noun)} {done}.")
    for refusal in change.refused:
        note(f"pgjobs: {refusal.reason}")
    if change.refused:
        raise typer.Exit(1)


def tries(job: JobRow | JobDetail) -> str:
    """Write the attempt and the budget, as counted since the last replay."""
    prior = job.prior_attempts or 0
    return f"{max(job.attempt - prior, 0)}/{job.max_attempts - prior}"


def print_job(job: JobDetail) -> None:
    """Print all about a job."""
    from pgjobs.cli.output import clean, plural, print_pairs, say, when

    worker = None if job.worker_id is None else str(job.worker_id)
    if job.worker_host is not None:
        worker = f"{worker} ({job.worker_host}, pid {job.worker_pid})"
    print_pairs(
        [
            ("id", str(job.id)),
            ("status", job.status),
            ("task", job.task),
            ("call", job.summary),
            ("queue", f"{job.queue} (priority {job.priority})"),
            ("attempt", f"{tries(job)}{f', {job.prior_attempts} before a replay' if job.prior_attempts else ''}"),
            ("enqueued", when(job.enqueued_at)),
            ("due", when(job.run_at)),
            ("started", when(job.started_at)),
            ("finished", when(job.finished_at)),
            ("dead since", when(job.died_at)),
            ("worker", worker),
            ("executor", job.executor),
            ("timeout", None if job.timeout is None else f"{job.timeout:g} s"),
            ("payload", f"{plural(job.payload_bytes, 'byte')}{', signed' if job.signed else ''}"),
            ("error", job.error),
        ]
    )
    for failure in job.errors:
        say("")
        place = f" on {failure.get('host')}" if failure.get("host") else ""
        say(f"attempt {failure.get('attempt')} at {_moment(failure.get('at'))}{place}, worker {failure.get('worker')}:")
        for line in str(failure.get("traceback") or failure.get("error") or "").splitlines():
            say(f"  {clean(line)}")


def _moment(text: object) -> str | None:
    from datetime import datetime

    from pgjobs.cli.output import when

    try:
        return when(datetime.fromisoformat(str(text)))
    except ValueError:  # somebody wrote it by hand
        return str(text)


def _row(job: JobRow, now: datetime) -> list[str]:
    from pgjobs.cli.output import distance

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
