"""Schedules: list, add, pause, resume, remove, and run one now.

Those of code are declared by `pgjobs.schedule`; here they can be paused, but not changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import EnqueueError, NotFoundError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import check_choice, check_new_queue, check_priority
from pgjobs.db.adapters.operations import operation
from pgjobs.db.encoding import encoding_of
from pgjobs.db.query import clock, fetch, fetch_dicts
from pgjobs.db.statements import statement
from pgjobs.jobs.handle import JobHandle
from pgjobs.jobs.options import JobOptions
from pgjobs.payload.encoder import columns_for
from pgjobs.schedules.cron import MISSED, OVERLAP, Missed, Overlap, parse
from pgjobs.schedules.schedule import check_schedule_name, make
from pgjobs.schedules.scheduled import enqueue_scheduled
from pgjobs.schedules.stored_call import StoredSchedule, signed, storable

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule as it is listed.

    `app`: whose code declares it (None: an operator's). `state`: active, paused, or retired: no code
    declares it now. `next_at`: its next firing, if it has one. `last_at`: the last one that was enqueued, as
    `last_job_id`. `error`: why it could not fire.
    """

    name: str
    app: str | None
    cron: str
    tz: str
    missed: str
    overlap: str
    task: str
    summary: str | None
    queue: str
    priority: int
    state: str
    next_at: datetime | None
    last_at: datetime | None
    last_job_id: int | None
    error: str | None
    paused_at: datetime | None
    retired_at: datetime | None
    created_at: datetime
    updated_at: datetime


@operation
def list_schedules(conn: psycopg.Connection) -> list[ScheduleRow]:
    """List all schedules, by name."""
    return fetch(conn, "list_schedules", ScheduleRow, schedule=None)


@operation
def show_schedule(conn: psycopg.Connection, name: str) -> ScheduleRow:
    """Return one schedule.

    Raises:
        NotFoundError: there is no schedule of that name.

    """
    found = fetch(conn, "list_schedules", ScheduleRow, schedule=check_schedule_name(name))
    if not found:
        raise NotFoundError(f"There is no schedule {name!r}: `pgjobs schedules list` shows what there is.")
    return found[0]


@operation
def add_schedule(
    conn: psycopg.Connection,
    name: str,
    cron: str,
    task: Callable[..., object] | str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    tz: str = "UTC",
    missed: Missed = "once",
    overlap: Overlap = "allow",
    queue: str | None = None,
    priority: int | None = None,
    replacing: bool = False,
) -> ScheduleRow:
    """Add a schedule that belongs to no application. It fires from now on.

    `cron`: five fields, or six with the seconds first, in the time zone `tz`. `task`: a callable; or the name of a job
    (`module:qualname`, or its `name=`) with `payload="json"`, which is not imported here and takes either `args` or
    `kwargs`. `missed`, `overlap`: as for `pgjobs.schedule`. `queue`, `priority`: instead of those of the job.
    `replacing`: replace an operator's schedule of this name, if there is one; it stays paused if it was.

    Raises:
        UsageError: a value cannot be used or stored, or there is such a schedule already.
        EnqueueError: the call is refused, as `enqueue` would refuse it.

    """
    if isinstance(task, str):
        made = _json_schedule(name, cron, task, args, kwargs, tz, missed, overlap)
    else:
        made = make(
            *(cron, task, tuple(args), kwargs),
            tz=tz,
            name=name,
            missed=missed,
            overlap=overlap,
            queue=queue,
            with_hooks=True,
        )
    return _add(conn, made, queue, priority, replacing=replacing)


def _json_schedule(
    name: str,
    cron: str,
    task: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    tz: str,
    missed: Missed,
    overlap: Overlap,
) -> StoredSchedule:
    """Return a schedule of a task that is not imported here, with arguments in JSON."""
    module, colon, function = task.partition(":")
    if not (module and bool(colon) == bool(function) and task.isprintable()):
        raise UsageError(
            f"task={shorten_repr(task)}: give MODULE:FUNCTION, such as shop.tasks:report, or a job's name."
        )
    if args and kwargs:
        raise UsageError("args= and kwargs= were both given: a call in JSON has arguments by position, or by name.")
    arguments = dict(kwargs) if kwargs else list(args)
    when = parse(cron, tz)
    try:
        payload = json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise EnqueueError(f"arguments={shorten_repr(arguments)} cannot be written in JSON: {error}.") from error
    return StoredSchedule(
        name=check_schedule_name(name),
        app=None,
        cron=when.expression,
        tz=when.tz,
        missed=check_choice("missed", missed, MISSED),  # type: ignore[arg-type]  # just checked
        overlap=check_choice("overlap", overlap, OVERLAP),  # type: ignore[arg-type]  # just checked
        columns=columns_for(JobOptions(), task),
        options="{}",
        summary=None,
        signature=None,
        payload=payload,
    )


def _add(
    conn: psycopg.Connection, made: StoredSchedule, queue: str | None, priority: int | None, *, replacing: bool
) -> ScheduleRow:
    if queue is not None:
        made = replace(made, columns=made.columns._replace(queue=check_new_queue(queue)))
    if priority is not None:
        made = replace(made, columns=made.columns._replace(priority=check_priority(priority)))
    found = storable(conn, signed(made))
    if found is None:
        raise UsageError(
            f"the schedule {made.name!r} has a character, other than in its arguments, that "
            f"{encoding_of(conn).database} lacks, the encoding of this connection or its database: use others there."
        )
    made = found
    with conn.transaction():
        row, now = _lock(conn, made.name), clock(conn)
        if row is not None and row["app"] is not None:
            raise UsageError(
                f"the schedule {made.name!r} is declared in the code of {row['app']}: give this one another name."
            )
        if row is not None and not replacing:
            raise UsageError(f"there is a schedule {made.name!r}: replace it (--replace), or give another name.")
        after = now if row is None or row["last_at"] is None else max(now, row["last_at"])
        values = {**made.row_values(), "next_at": parse(made.cron, made.tz).next(after), "digest": made.digest()}
        if conn.execute(statement("upsert_schedule"), values).rowcount == 0:
            raise UsageError(f"another transaction has just declared {made.name!r}: give this one another name.")
        return show_schedule(conn, made.name)


@operation
def pause_schedule(conn: psycopg.Connection, name: str) -> bool:
    """Pause a schedule; return False if it was paused already. A deployment does not resume it.

    Raises:
        NotFoundError: there is no schedule of that name.

    """
    show_schedule(conn, name)
    return bool(fetch_dicts(conn, "pause_schedule", schedule=name))


@operation
def resume_schedule(conn: psycopg.Connection, name: str) -> bool:
    """Resume a schedule with its next firing from now; return False if it was not paused.

    Firings during the pause are not made up for.

    Raises:
        NotFoundError: there is no schedule of that name.
        UsageError: its expression cannot be used.

    """
    with conn.transaction():
        show_schedule(conn, name)
        row = _lock(conn, name)
        assert row is not None  # noqa: S101 (it was there a moment ago)
        if row["paused_at"] is None and row["next_at"] is not None:
            return False
        after = row["now"] if row["last_at"] is None else max(row["now"], row["last_at"])
        next_at = parse(row["cron"], row["tz"]).next(after)
        conn.execute(statement("resume_schedule"), {"schedule": name, "next_at": next_at})
        return row["paused_at"] is not None


@operation
def remove_schedule(conn: psycopg.Connection, name: str) -> None:
    """Remove a schedule that an operator added, or a retired one. Its jobs stay.

    Raises:
        NotFoundError: there is no schedule of that name.
        UsageError: code declares it, and would declare it again.

    """
    row = show_schedule(conn, name)
    if not fetch_dicts(conn, "remove_schedule", schedule=name):
        raise UsageError(
            f"the schedule {name!r} is declared in the code of {row.app}, which would declare it again: remove it "
            "there, or pause it."
        )


@operation
def run_schedule(conn: psycopg.Connection, name: str) -> JobHandle[Any]:
    """Enqueue the call of a schedule now, once, and return the job's handle. The schedule itself does not change.

    If another job has its unique key, the handle is that of the other job, with `conflict` set.

    Raises:
        NotFoundError: there is no schedule of that name.
        UsageError: the row has options that cannot be read.

    """
    show_schedule(conn, name)
    (row,) = fetch_dicts(conn, "scheduled_call", schedule=name)
    job = enqueue_scheduled(conn, row, None)
    assert job is not None  # noqa: S101 (it has no conditions)
    return job


def _lock(conn: psycopg.Connection, name: str) -> dict[str, Any] | None:
    return next(iter(fetch_dicts(conn, "lock_schedules", names=[name])), None)
