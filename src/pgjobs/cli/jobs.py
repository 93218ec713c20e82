"""`pgjobs jobs list|show|follow|retry|cancel|set`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.job_changes import asked_jobs, change_selected
from pgjobs.cli.job_detail import print_job, tries
from pgjobs.cli.job_follow import follow
from pgjobs.cli.listing import print_list, task_hint
from pgjobs.cli.output import Column, distance, note, print_json
from pgjobs.cli.params import (
    JobId,
    Json,
    Limit,
    QueueFilter,
    QueueGlob,
    SomeIds,
    TaskFilter,
    Yes,
    parse_pairs,
    parse_time,
)
from pgjobs.cli.session import session
from pgjobs.db.query import clock, job_states
from pgjobs.jobs.settable import check_settable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg

    from pgjobs.admin import Change, JobRow, JobSelection

app = command_group()

MAX_WAIT = 86400.0  # seconds
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
    queue: QueueGlob = None,
    task: TaskFilter = None,
    call: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only jobs with this in their call, as in 'send(42'.")
    ] = None,
    error: Annotated[str | None, typer.Option(metavar="TEXT", help="Only jobs with this in their last error.")] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="KEY=VALUE", help="Only jobs with this in their metadata; repeatable."),
    ] = None,
    limit: Limit = 50,
    before: Annotated[int | None, typer.Option(min=0, metavar="ID", help="Only ids below: the next page.")] = None,
    as_json: Json = False,
) -> None:
    """List jobs, the newest first."""
    wanted = parse_pairs("--meta", meta or ())
    with session("jobs list") as conn:
        found = admin.list_jobs(
            conn, status=status, queue=queue, task=task, call=call, error=error, meta=wanted, limit=limit, before=before
        )
        now = clock(conn)
        hint = "" if found or as_json else task_hint(conn, task)
    print_list(found, COLUMNS, lambda job: _row(job, now), empty=f"No such jobs.{hint}", as_json=as_json)


@app.command()
def show(id: JobId, as_json: Json = False) -> None:
    """Show everything about one job.

    With its times, and the error and traceback of every failed attempt.
    """
    with session("jobs show") as conn:
        job = admin.show_job(conn, id)
    if as_json:
        print_json(job)
    else:
        print_job(job)


app.command()(follow)


@app.command()
def retry(
    ids: SomeIds = None,
    queue: QueueFilter = None,
    task: TaskFilter = None,
    status: Annotated[
        Literal["queued", "completed", "failed", "cancelled"] | None,
        typer.Option("--status", "-s", metavar="STATUS", help="Only these; default: failed and cancelled ones."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Queue finished jobs again; run later ones now.

    By ids, or by --queue, --task and --status. They keep their ids and errors, and get fresh attempts.
    """
    jobs = asked_jobs(ids, queue, task, status, ("failed", "cancelled"))
    change_selected("retry", jobs, _retry, "queued, due now", yes=yes)


@app.command()
def cancel(
    ids: SomeIds = None,
    queue: QueueFilter = None,
    task: TaskFilter = None,
    status: Annotated[
        Literal["waiting", "queued", "running"] | None,
        typer.Option("--status", "-s", metavar="STATUS", help="Only these; default: all that have not ended."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Raise JobCancelled in jobs that run in a thread.")] = False,
    cascade: Annotated[bool, typer.Option("--cascade", help="Also cancel the jobs that wait for them.")] = False,
    wait: Annotated[
        float | None,
        typer.Option("--wait", min=0, max=MAX_WAIT, metavar="SECONDS", help="Wait for running jobs to end."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Cancel jobs, also running ones.

    By ids, or by --queue, --task and --status. A running job is asked to end: a coroutine is cancelled, a process
    is killed, a function in a thread has to check current_job().cancelled, or gets JobCancelled with --force.
    """
    jobs = asked_jobs(ids, queue, task, status, ("waiting", "queued", "running"))
    do = partial(admin.cancel_jobs, force=force, cascade=cascade)
    change_selected("cancel", jobs, do, "cancelled", yes=yes, wait=wait)


@app.command("set")
def set_(
    ids: SomeIds = None,
    priority: Annotated[
        int | None, typer.Option("--priority", "-p", metavar="N", help="0 (first) to 9 (last).")
    ] = None,
    run_at: Annotated[
        str | None, typer.Option("--run-at", metavar="TIME", help="When they are due, such as 2030-01-31T09:00+01:00.")
    ] = None,
    delay: Annotated[
        float | None, typer.Option("--delay", metavar="SECONDS", help="Seconds by which to delay them.")
    ] = None,
    to_queue: Annotated[str | None, typer.Option("--to-queue", metavar="NAME", help="Move them to this queue.")] = None,
    queue: QueueFilter = None,
    task: TaskFilter = None,
    status: Annotated[
        Literal["waiting", "queued"] | None, typer.Option("--status", "-s", metavar="STATUS", help="Only these.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Change jobs that have not started.

    Their priority, when they are due, or their queue. By ids, or by --queue, --task and --status.
    """
    due = None if run_at is None else parse_time("--run-at", run_at)
    changes = check_settable(priority=priority, run_at=due, delay=delay, queue=to_queue)
    jobs = asked_jobs(ids, queue, task, status, ("waiting", "queued"))
    change_selected("set", jobs, partial(admin.set_jobs, **changes), "changed", yes=yes)


def _retry(
    conn: psycopg.Connection, jobs: list[int] | JobSelection, *, on_progress: Callable[[int], None] | None
) -> Change:
    """Retry jobs, and say which of those that were given by id had completed: they do their work a second time."""
    before = job_states(conn, jobs) if isinstance(jobs, list) else {}
    changed = admin.retry_jobs(conn, jobs, on_progress=on_progress)
    for each in changed.done:
        if before.get(each, ("", False))[0] == "completed":
            note(f"pgjobs: Job {each} had completed: it runs again.")
    return changed


def _row(job: JobRow, now: datetime) -> list[str]:
    moment = job.finished_at or job.started_at or job.run_at
    return [
        str(job.id),
        job.status,
        job.queue,
        tries(job),
        distance(moment, now) if job.started_at or job.finished_at else f"due {distance(moment, now)}",
        job.summary or job.task,
        # What an earlier attempt ended with does not matter for a completed job; `jobs show` has it.
        "" if job.status == "completed" else job.error or "",
    ]
