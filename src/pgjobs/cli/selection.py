"""Commands that change jobs by ids, or by a filter and after a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from pgjobs.admin import Change


@dataclass(frozen=True, slots=True)
class Asked:
    """What was given on the command line. `statuses`: those of a filter without --status.

    Raises:
        UsageError: nothing, or what excludes one another.

    """

    ids: list[int] | None
    queue: str | None
    task: str | None
    status: str | None
    statuses: tuple[str, ...]

    def __post_init__(self) -> None:
        filtered = self.queue is not None or self.task is not None or self.status is not None
        if self.ids and filtered:
            raise UsageError("ids and --queue, --task, --status exclude one another: give the one or the others.")
        if not (self.ids or filtered):
            raise UsageError("say which jobs: ids, or --queue, --task, --status.")


def change_selected(
    command: str,
    asked: Asked,
    change: Callable[[psycopg.Connection, list[int]], Change],
    done: str,
    *,
    yes: bool,
    wait: float | None = None,
) -> None:
    """Ask where a filter was given, change the jobs, and say what came of it.

    `wait`: seconds, for what was asked to end.

    Raises:
        UsageError: nobody is there to be asked.
        typer.Exit: something was refused, or still runs.

    """
    from pgjobs.admin import JobSelection, change_jobs, count_jobs, wait_for_exit
    from pgjobs.cli.confirm import confirm
    from pgjobs.cli.output import say
    from pgjobs.cli.progress import progress
    from pgjobs.cli.report import report
    from pgjobs.cli.session import session
    from pgjobs.core.text import plural

    selection = JobSelection(
        ids=tuple(asked.ids) if asked.ids else None,
        statuses=asked.statuses if asked.status is None else (asked.status,),
        queue=asked.queue,
        task=asked.task,
    )
    with session(f"jobs {command}") as conn:
        count = count_jobs(conn, selection)
        if not count:
            say("No such jobs: nothing to do.")
            return
        if selection.ids is None:
            confirm(f"{command.capitalize()} {plural(count, 'job')}?", yes=yes)
        with progress(command, count) as on_progress:
            changed = change_jobs(conn, selection, lambda ids: change(conn, ids), on_progress=on_progress)
        left = () if wait is None else wait_for_exit(conn, changed.asked, wait)
    report(changed, done, noun="job", left=None if wait is None else left)
