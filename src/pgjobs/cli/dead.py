"""`pgjobs dead list|show|replay|discard|keep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.history import parse_days, spell
from pgjobs.cli.job_changes import note_stuck, report
from pgjobs.cli.job_detail import print_job
from pgjobs.cli.listing import print_list, task_hint
from pgjobs.cli.output import Column, distance, print_json, say
from pgjobs.cli.params import Days, JobId, Json, Limit, QueueGlob, Rate, TaskFilter, Yes, confirm
from pgjobs.cli.session import session
from pgjobs.cli.terminal import progress
from pgjobs.core.errors import UsageError
from pgjobs.core.text import plural
from pgjobs.db.query import clock

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.admin import DeadLetter, JobSelection

app = command_group()

COLUMNS = (
    Column("ID", right=True),
    Column("QUEUE"),
    Column("DIED", right=True),
    Column("TRIES", right=True),
    Column("JOB", share=1),
    Column("ERROR", share=1),
)
LetterIds = Annotated[list[int] | None, typer.Argument(metavar="ID", help="Ids of dead letters.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Every dead letter.")]


@app.command("list")
def list_(
    queue: QueueGlob = None,
    task: TaskFilter = None,
    limit: Limit = 50,
    before: Annotated[
        int | None, typer.Option(min=0, metavar="ID", help="Only those that died before this one: the next page.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List dead letters, the newest first."""
    with session("dead list") as conn:
        found = admin.list_dead(conn, queue=queue, task=task, limit=limit, before=before)
        now = clock(conn)
        hint = "" if found or as_json else task_hint(conn, task)
    print_list(found, COLUMNS, lambda letter: _row(letter, now), empty=f"No dead letters.{hint}", as_json=as_json)


@app.command()
def show(id: JobId, as_json: Json = False) -> None:
    """Show a dead letter.

    With the error and traceback of every attempt.
    """
    with session("dead show") as conn:
        letter = admin.show_dead(conn, id)
    if as_json:
        print_json(letter)
    else:
        print_job(letter)


@app.command()
def replay(
    ids: LetterIds = None, every: All = False, queue: QueueGlob = None, task: TaskFilter = None, rate: Rate = None
) -> None:
    """Queue dead jobs again, with fresh attempts.

    By ids, by --queue and --task, or --all. Their errors are kept.
    """
    selection = _selection(ids, every, queue, task)
    with session("dead replay") as conn:
        with progress("replaying", admin.count_dead(conn, selection)) as on_progress:
            change = admin.replay_dead(conn, selection, rate=rate, on_progress=on_progress)
        hint = "" if change.done else task_hint(conn, task)
    report(change, "queued, due now" if rate is None else f"queued, {rate} of them become due", noun="dead job")
    _note_if_none(change.done, selection, hint)


@app.command()
def discard(
    ids: LetterIds = None,
    every: All = False,
    queue: QueueGlob = None,
    task: TaskFilter = None,
    yes: Yes = False,
) -> None:
    """Discard dead letters.

    By ids, by --queue and --task, or --all. The jobs stay in history as failed, for as long as history is kept.
    """
    selection = _selection(ids, every, queue, task)
    with session("dead discard") as conn:
        count = admin.count_dead(conn, selection)
        if every and count:
            confirm(f"Discard {plural(count, 'dead letter')} for good?", yes=yes)
        with progress("discarding", count) as on_progress:
            change = admin.discard_dead(conn, selection, on_progress=on_progress)
        note_stuck(conn, change.done)
        hint = "" if change.done else task_hint(conn, task)
    report(change, "discarded", noun="dead letter")
    _note_if_none(change.done, selection, hint)


@app.command()
def keep(days: Days, yes: Yes = False) -> None:
    """Keep dead letters for a number of days.

    After that, workers remove them. The default is forever.
    """
    number = parse_days(days)
    with session("dead keep") as conn:
        if number is not None and (count := admin.count_expired_dead(conn, number)):
            confirm(f"Remove {plural(count, 'dead letter')} for good?", yes=yes)
        admin.keep_dead(conn, number)
    say(f"Dead letters are kept {spell(number)}.")


def _selection(ids: list[int] | None, every: bool, queue: str | None, task: str | None) -> list[int] | JobSelection:
    """Return the dead letters that a command line asks for, by ids, --all, or --queue and --task.

    Raises:
        UsageError: none of them was given, or more than one.

    """
    filtered = queue is not None or task is not None
    if bool(ids) + every + filtered > 1:
        raise UsageError("ids, --all and --queue/--task exclude one another: give one of them.")
    if not (ids or every or filtered):
        raise UsageError("say which dead letters: ids, --queue, --task or --all.")
    return ids or admin.JobSelection(queue=queue, task=task)


def _note_if_none(done: tuple[int, ...], selection: list[int] | JobSelection, hint: str) -> None:
    if not done and not isinstance(selection, list):
        say(f"No such dead letters: nothing to do.{hint}")


def _row(letter: DeadLetter, now: datetime) -> list[str]:
    return [
        str(letter.id),
        letter.queue,
        distance(letter.died_at, now),
        str(letter.attempt - (letter.prior_attempts or 0)),
        letter.summary or letter.task,
        letter.error or "",
    ]
