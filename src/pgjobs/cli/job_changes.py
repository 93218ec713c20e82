"""What commands that change several jobs share: which jobs are meant, a confirmation, progress and the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pgjobs import admin
from pgjobs.cli.listing import task_hint
from pgjobs.cli.output import note, say
from pgjobs.cli.params import confirm
from pgjobs.cli.session import session
from pgjobs.cli.terminal import progress
from pgjobs.core.errors import UsageError
from pgjobs.core.text import is_glob, plural
from pgjobs.db.stuck_jobs import sentence, ways_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from pgjobs.admin import Change, JobSelection


def asked_jobs(
    ids: list[int] | None, queue: str | None, task: str | None, status: str | None, statuses: tuple[str, ...]
) -> list[int] | JobSelection:
    """Return the jobs that a command line asks for, by ids or by a filter.

    `status`: from `--status`. `statuses`: those of a filter without `--status`.

    Raises:
        UsageError: neither ids nor a filter were given, or both.

    """
    filtered = queue is not None or task is not None or status is not None
    if ids and filtered:
        raise UsageError("ids and --queue, --task, --status exclude one another: give the one or the others.")
    if not (ids or filtered):
        raise UsageError("say which jobs: ids, or --queue, --task, --status.")
    return ids or admin.JobSelection(queue, task, statuses if status is None else (status,))


def change_selected(
    command: str,
    jobs: list[int] | JobSelection,
    change: Callable[..., Change],
    done: str,
    *,
    yes: bool,
    wait: float | None = None,
) -> None:
    """Change jobs and report the outcome. Jobs that were chosen by a filter are changed only after a confirmation.

    `wait`: seconds to wait for the end of running jobs that were asked to end (None: do not wait).

    Raises:
        UsageError: a confirmation is needed, and there is no terminal.
        typer.Exit: a change was refused, or a job still runs.

    """
    with session(f"jobs {command}") as conn:
        count = admin.count_jobs(conn, jobs)
        if not count:
            hint = ""
            if isinstance(jobs, admin.JobSelection):
                hint = task_hint(conn, jobs.task)
                if jobs.queue is not None and is_glob(jobs.queue):
                    hint += " --queue takes the name of one queue here."
            say(f"No such jobs: nothing to do.{hint}")
            return
        if isinstance(jobs, admin.JobSelection):
            confirm(f"{command.capitalize()} {plural(count, 'job')}?", yes=yes)
        with progress(command, count) as on_progress:
            changed = change(conn, jobs, on_progress=on_progress)
        if command == "cancel":
            note_stuck(conn, changed.done)
        left = () if wait is None else admin.wait_for_exit(conn, changed.asked, wait)
    report(changed, done, noun="job", left=None if wait is None else left)


def note_stuck(conn: psycopg.Connection, ended: Sequence[int]) -> None:
    """Print which jobs wait for these, and now do not start by themselves."""
    if stuck := admin.stuck_jobs(conn, needs=ended):
        note(f"pgjobs: {sentence(stuck)}. To go on, {ways_out(stuck)}.")


def report(change: Change, done: str, *, noun: str, left: tuple[int, ...] | None = None) -> None:
    """Print what was done, what was refused, and why.

    `left`: the jobs that were asked to end and still run (None: the command did not wait for them).

    Raises:
        typer.Exit: a change was refused, or a job still runs.

    """
    if change.done:
        say(f"{plural(len(change.done), noun)} {done}.")
    if change.asked:
        ending = "asked to end" if left is None else f"asked to end, {len(change.asked) - len(left):,} did"
        say(f"{plural(len(change.asked), f'running {noun}')} {ending}.")
    for each in left or ():
        note(f"pgjobs: Job {each} still runs: a thread has to look at current_job().cancelled; --force raises in it.")
    for refusal in change.refused:
        note(f"pgjobs: {refusal.reason}")
    if change.refused or left:
        raise typer.Exit(1)
