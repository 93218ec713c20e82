"""`schedule()`: a call that is enqueued again and again, declared in code.

A declaration is a value that this process keeps. `pgjobs work --import MODULE` writes what was declared while its
modules were imported; nothing else here touches a database.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVarTuple, overload

from pgjobs.core.application import application_of
from pgjobs.core.errors import EnqueueError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import check_choice, check_name, check_new_queue, has_type
from pgjobs.hooks.enqueueing import added_meta
from pgjobs.hooks.kinds import enqueue_hooks
from pgjobs.jobs.job import options_of
from pgjobs.jobs.meta import check_meta
from pgjobs.payload.encoder import described, encoder_with_meta
from pgjobs.schedules.cron import MISSED, OVERLAP, Missed, Overlap, parse
from pgjobs.schedules.stored_call import StoredSchedule, kept_options, signed

if TYPE_CHECKING:
    from pgjobs.jobs.transaction import TransactionJob

Ts = TypeVarTuple("Ts")
MAX_SCHEDULE_NAME = 200  # characters


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that the code declares. `schedule` returns it, and a worker that imports the code writes it.

    `name`: once in the database. `cron`, `tz`: when it fires. `task`: the name of the job; `args`, `kwargs`: its
    arguments. `missed`, `overlap`: see `schedule`. `app`: the application that it belongs to. Whether it is paused is
    in the database: see `pgjobs.admin.list_schedules`.
    """

    name: str
    cron: str
    task: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    tz: str
    missed: Missed
    overlap: Overlap
    app: str


_declared: dict[str, StoredSchedule] = {}
_again: dict[str, Callable[..., StoredSchedule]] = {}
"""How each was made: hooks may be imported after it."""


@overload
def schedule(
    cron: str,
    callable: TransactionJob[Any, ..., object],
    /,
    *,
    args: tuple[Any, ...] = ...,
    kwargs: Mapping[str, Any] | None = ...,
    tz: str = ...,
    name: str | None = ...,
    missed: Missed = ...,
    overlap: Overlap = ...,
    app: str | None = ...,
    meta: Mapping[str, Any] | None = ...,
) -> Schedule: ...
@overload
def schedule(
    cron: str,
    callable: Callable[[], object],
    /,
    *,
    tz: str = ...,
    name: str | None = ...,
    missed: Missed = ...,
    overlap: Overlap = ...,
    app: str | None = ...,
    meta: Mapping[str, Any] | None = ...,
) -> Schedule: ...
@overload
def schedule(
    cron: str,
    callable: Callable[[*Ts], object],
    /,
    *,
    args: tuple[*Ts],
    tz: str = ...,
    name: str | None = ...,
    missed: Missed = ...,
    overlap: Overlap = ...,
    app: str | None = ...,
    meta: Mapping[str, Any] | None = ...,
) -> Schedule: ...
@overload
def schedule(
    cron: str,
    callable: Callable[..., object],
    /,
    *,
    args: tuple[Any, ...] = ...,
    kwargs: Mapping[str, Any],
    tz: str = ...,
    name: str | None = ...,
    missed: Missed = ...,
    overlap: Overlap = ...,
    app: str | None = ...,
    meta: Mapping[str, Any] | None = ...,
) -> Schedule: ...
def schedule(
    cron: str,
    callable: Callable[..., object],
    /,
    *,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    tz: str = "UTC",
    name: str | None = None,
    missed: Missed = "once",
    overlap: Overlap = "allow",
    app: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Schedule:
    """Declare that a call is enqueued whenever a cron expression comes true. Call it where a module is imported.

        schedule("0 9 * * MON-FRI", report, tz="Europe/Berlin")
        schedule("*/30 * * * * *", probe.options(queue="net"), args=("db1",), overlap="skip")

    The arguments are pickled at once, and the keys of the job's options are made of them. Workers that
    import this (`pgjobs work --import`) write it into `pgjobs.schedules`, and any worker of that database enqueues its
    firings, each once. `expires` in seconds counts from the time of each firing. A firing whose unique key another job
    has is done with that job, also where `on_conflict="raise"`.

    Args:
        cron: minute, hour, day of the month, month, day of the week; or six fields, with seconds in front.
        callable: a job or any other callable that can be pickled; `report.options(queue="slow")` changes options.
        args: its arguments.
        kwargs: its keyword arguments.
        tz: the time zone of `cron`.
        name: what it is called, once in the database; None: the task's name.
        missed: what happens to firings that no worker enqueued within a minute: "skip" leaves them out, "once"
            enqueues one job for all of them, "all" enqueues each.
        overlap: "skip" enqueues nothing while the job of the firing before waits or runs.
        app: whose it is; None: PGJOBS_APP, or else the top-level package of the module that calls this.
        meta: a JSON object that travels with its jobs, merged over that of the job.

    Raises:
        UsageError: a value that cannot be used, or another schedule of this process has that name.
        EnqueueError: the call is refused, as `enqueue` would refuse it; or it has `delay`, `run_at` or `after`.

    """
    owner = application_of(sys._getframe(1).f_globals, app)
    again = partial(
        make,
        *(cron, callable, args, kwargs),
        tz=tz,
        name=name,
        missed=missed,
        overlap=overlap,
        app=owner,
        meta=meta,
    )
    made = again()
    before = _declared.get(made.name)
    if before is not None and before != made:
        raise UsageError(
            f"there is another schedule {made.name!r} in this process (cron={before.cron!r}): give this one a name "
            "of its own, name=…."
        )
    _declared[made.name] = made
    _again[made.name] = again
    return Schedule(
        made.name,
        made.cron,
        made.columns.task,
        args,
        dict(kwargs or {}),
        made.tz,
        made.missed,
        made.overlap,
        owner,
    )


def declared_schedules() -> list[StoredSchedule]:
    """Return what was declared in this process, signed with the key that it has now.

    Raises:
        EnqueueError: a hook refuses one of them.

    """
    return [
        signed(made if not enqueue_hooks.hooks else _again[name](with_hooks=True)) for name, made in _declared.items()
    ]


def make(
    cron: str,
    callable: Callable[..., object],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    tz: str = "UTC",
    name: str | None = None,
    missed: str = "once",
    overlap: str = "allow",
    app: str | None = None,
    queue: str | None = None,
    meta: Mapping[str, Any] | None = None,
    with_hooks: bool = False,
) -> StoredSchedule:
    """Make a schedule without declaring it; it is not `signed` yet.

    `queue`: instead of the job's. `meta`: merged over the job's. `with_hooks`: call those for enqueues.

    Raises:
        UsageError, EnqueueError: as `schedule`.

    """
    when = parse(cron, tz)
    check_choice("missed", missed, MISSED)
    check_choice("overlap", overlap, OVERLAP)
    if not has_type(args, tuple):
        raise UsageError(f"args={shorten_repr(args)}: give a tuple of arguments, also when there is but one: (42,).")
    if kwargs is not None and not has_type(kwargs, dict):
        raise UsageError(f"kwargs={shorten_repr(kwargs)}: give a dict of arguments by name.")
    added = check_meta(meta)
    if with_hooks and enqueue_hooks.hooks:
        task, options = described(callable)
        added = added_meta(
            *(task, options, args, kwargs or {}), queue=queue, meta=meta, schedule=_schedule_name(name, task)
        )
    encoder = encoder_with_meta(callable, added)
    columns, keys = encoder.columns, encoder.keys
    if columns.run_at is not None or columns.delay:
        raise EnqueueError(f"{columns.task} has delay= or run_at=: leave it out, a schedule itself says when.")
    payload, summary = encoder.encode(args, kwargs or {})
    if queue is not None:
        columns = columns._replace(queue=check_new_queue(queue))
        if keys is not None:  # the queue may be part of the unique key
            from pgjobs.payload.keys import FlowKeys  # most jobs have none

            keys = FlowKeys(callable, columns.task, columns.queue, options_of(callable).flow, encoder.meta)
    return StoredSchedule(
        name=_schedule_name(name, columns.task),
        app=app,
        cron=when.expression,
        tz=when.tz,
        missed=missed,  # type: ignore[arg-type]  # just looked at
        overlap=overlap,  # type: ignore[arg-type]  # just looked at
        columns=columns,
        options=kept_options(columns.task, keys, args, kwargs or {}),
        summary=None if summary is None else summary.encode(errors="replace").decode(),
        signature=None,
        payload=payload,
    )


def _schedule_name(name: str | None, task: str) -> str:
    return check_schedule_name(task[:MAX_SCHEDULE_NAME] if name is None else name)


def check_schedule_name(name: object) -> str:
    """Return the name of a schedule.

    Raises:
        UsageError: it is not a name of 1 to 200 printable characters.

    """
    return check_name("name", name, MAX_SCHEDULE_NAME)
