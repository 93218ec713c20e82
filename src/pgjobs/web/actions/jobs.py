"""Retry, cancel and change jobs: one, or those of a filter."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pgjobs import admin
from pgjobs.core.errors import UsageError
from pgjobs.core.text import is_glob, matches_glob, plural
from pgjobs.db.query import clock
from pgjobs.web.actions.action import Action, Asked, Done, Field, Preview
from pgjobs.web.actions.previewed import pack, unpack
from pgjobs.web.values import CAP, count

if TYPE_CHECKING:
    from pgjobs.admin import Change, JobRow

FILTER = ("status", "queue", "task")
BACK = "/jobs/{id}"
LONGEST_ARGUMENTS = 1_000_000  # characters
PAGE = 2_000
SCANNED = 50_000  # jobs of a status that are looked through for a glob


def _named(job: JobRow) -> str:
    return f"{job.id}, {job.summary or job.task}"


def _one(sentence: str, statuses: tuple[str, ...], fields: tuple[Field, ...] = ()) -> Callable[[Asked], Preview]:
    """Return the preview of an action on one job. `statuses`: those in which it can be done."""

    def preview(asked: Asked) -> Preview:
        job = admin.show_job(asked.conn, asked.id())
        notes = () if job.status in statuses else (f"The job is {job.status} now, so this will be refused.",)
        if job.status == "completed" and "completed" in statuses:
            notes = ("The job has completed: it does its work a second time.",)
        return Preview(sentence.format(job=_named(job)), 1, notes=notes, fields=fields)

    return preview


def _changed(change: Change, word: str) -> Done:
    """Write what came of a change.

    Raises:
        UsageError: the only job that was asked for was refused.

    """
    number = len(change.done) + len(change.asked)
    if not number and change.refused:
        raise UsageError(change.refused[0].reason)
    parts = []
    if change.done:
        parts.append(f"{plural(len(change.done), 'job')} {'is' if len(change.done) == 1 else 'are'} {word}")
    if change.asked:
        parts.append(
            f"{plural(len(change.asked), 'running job')} {'was' if len(change.asked) == 1 else 'were'} asked to end"
        )
    if change.refused:
        parts.append(f"{len(change.refused):,} could not be changed: {change.refused[0].reason}")
    return Done(number, "; ".join(parts) + "." if parts else "There was nothing left to do.")


def _cancel(asked: Asked) -> Done:
    reason = asked.optional("reason")
    options: dict[str, Any] = {"force": asked.flag("force"), "cascade": asked.flag("cascade")}
    reason = reason or f"cancelled by {asked.user}"
    return _changed(admin.cancel_jobs(asked.conn, asked.id(), reason=reason, **options), "cancelled")


def _set(asked: Asked) -> Done:
    priority, delay, due = asked.optional("priority"), asked.number("delay"), asked.optional("run_at")
    changes: dict[str, Any] = {"queue": asked.optional("queue"), "delay": delay}
    if priority is not None:
        changes["priority"] = asked.id("priority")
    if due is not None:
        try:
            moment = datetime.fromisoformat(due)
        except ValueError:
            raise UsageError(f"run_at={due!r}: give a time such as 2030-01-31T09:00.") from None
        changes["run_at"] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _changed(admin.set_jobs(asked.conn, asked.id(), **changes), "changed")


def _preview_set(asked: Asked) -> Preview:
    job = admin.show_job(asked.conn, asked.id())
    fields = (
        Field("priority", f"Priority, 0 (first) to 9; now {job.priority}", "number"),
        Field("queue", f"Queue; now {job.queue}"),
        Field("delay", "Due in this many seconds", "number"),
        Field("run_at", "Or due at, in UTC: 2030-01-31T09:00"),
    )
    return Preview(f"Change job {_named(job)}. What is left empty stays.", 1, fields=fields)


def _preview_arguments(asked: Asked) -> Preview:
    arguments = admin.show_arguments(asked.conn, asked.id())
    shown = json.dumps(arguments, indent=2, ensure_ascii=False)
    field = Field("arguments", "Arguments, in JSON", "area", shown, longest=LONGEST_ARGUMENTS)
    note = "Limits, sequences and unique keys that were made of the old arguments stay."
    return Preview(f"Change the arguments of job {asked.id()}.", 1, notes=(note,), fields=(field,))


def _set_arguments(asked: Asked) -> Done:
    try:
        arguments = json.loads(asked.needed("arguments"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"these arguments are not JSON: {error}.") from None
    admin.set_arguments(asked.conn, asked.id(), arguments)
    return Done(1, f"Job {asked.id()} has other arguments.")


def _find(asked: Asked, statuses: tuple[str, ...]) -> tuple[list[int], bool]:
    """Return the ids of jobs of a filter, the newest first, and whether there are more.

    Raises:
        UsageError: there is no filter, or a status that this cannot be done to.

    """
    wanted = asked.optional("status")
    if wanted is not None and wanted not in statuses:
        raise UsageError(f"this cannot be done to jobs that are {wanted}: choose {', '.join(statuses)}.")
    if not any(asked.optional(name) for name in FILTER):
        raise UsageError("choose a status, a queue or a task first.")
    given = asked.optional("until")
    previewed = None if given is None else unpack(given)[1]
    found: list[int] = []
    is_whole = True
    for status in (wanted,) if wanted else statuses:
        is_whole &= _look(asked, status, previewed, found)
    return found[:CAP], len(found) > CAP or not is_whole


def _look(asked: Asked, status: str, previewed: set[int] | None, found: list[int]) -> bool:
    """Add the jobs of a status; False: there may be more, which no index finds."""
    queue = asked.optional("queue")
    has_glob = queue is not None and is_glob(queue)
    before = None if not previewed else max(previewed) + 1
    for _ in range(SCANNED // PAGE):
        rows = admin.list_jobs(
            asked.conn,
            status=status,
            queue=None if has_glob else queue,
            task=asked.optional("task"),
            limit=PAGE,
            before=before,
        )
        found += [
            row.id
            for row in rows
            # What was not in the preview is left alone.
            if (previewed is None or row.id in previewed)
            and (queue is None or not has_glob or matches_glob(queue, row.queue))
        ]
        if len(found) > CAP or len(rows) < PAGE:
            return True
        before = rows[-1].id
    return False


def _bulk(sentence: str, statuses: tuple[str, ...]) -> Callable[[Asked], Preview]:
    def preview(asked: Asked) -> Preview:
        ids, more = _find(asked, statuses)
        named = ", ".join(f"{name} {asked.needed(name)}" for name in FILTER if asked.optional(name))
        notes = (f"At most {CAP:,} are changed at once: repeat it for the rest.",) if more else ()
        return Preview(
            f"{sentence} {count(len(ids), more=more)} jobs: {named}.",
            len(ids),
            more,
            notes,
            until=pack(clock(asked.conn), ids),
        )

    return preview


def _cancel_all(asked: Asked) -> Done:
    ids, _ = _find(asked, CANCELLABLE)
    return _changed(admin.cancel_jobs(asked.conn, ids, reason=f"cancelled by {asked.user}"), "cancelled")


def _retry_all(asked: Asked) -> Done:
    ids, _ = _find(asked, RETRIABLE)
    return _changed(admin.retry_jobs(asked.conn, ids), "queued, due now")


CANCELLABLE = ("queued", "waiting", "running")
RETRIABLE = ("failed", "cancelled")
_CANCEL_FIELDS = (
    Field("reason", "Reason"),
    Field("force", "Raise JobCancelled in a job that runs in a thread", "check"),
    Field("cascade", "Also cancel the jobs that wait for it", "check"),
)

ACTIONS: dict[str, Action] = {
    "retry-job": Action(
        "retry",
        "Retry a job",
        ("id",),
        _one("Queue job {job} again, due now, with fresh attempts.", ("failed", "cancelled", "completed", "queued")),
        lambda asked: _changed(admin.retry_jobs(asked.conn, asked.id()), "queued, due now"),
        BACK,
    ),
    "cancel-job": Action(
        "cancel",
        "Cancel a job",
        ("id",),
        _one("Cancel job {job}. If it runs, it is asked to end.", CANCELLABLE, _CANCEL_FIELDS),
        _cancel,
        BACK,
        fields=("reason", "force", "cascade"),
        is_danger=True,
    ),
    "change-job": Action(
        "change", "Change a job", ("id",), _preview_set, _set, BACK, fields=("priority", "queue", "delay", "run_at")
    ),
    "change-arguments": Action(
        "change",
        "Change the arguments of a job",
        ("id",),
        _preview_arguments,
        _set_arguments,
        BACK,
        fields=("arguments",),
        longest={"arguments": LONGEST_ARGUMENTS},
        secret=frozenset({"arguments"}),
    ),
    "cancel-jobs": Action(
        "cancel",
        "Cancel jobs",
        FILTER,
        _bulk("Cancel", CANCELLABLE),
        _cancel_all,
        "/jobs",
        is_danger=True,
    ),
    "retry-jobs": Action("retry", "Retry jobs", FILTER, _bulk("Queue again", RETRIABLE), _retry_all, "/jobs"),
}
