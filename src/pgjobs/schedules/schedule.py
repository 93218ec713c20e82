"""`schedule()`: a call that is enqueued again and again, declared in code.

A declaration is a value that this process keeps. `pgjobs work --import MODULE` writes what was declared while its
modules were imported; nothing else here touches a database.
"""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVarTuple, overload

from pgjobs.core.config import settings
from pgjobs.core.errors import EnqueueError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import check_choice, check_name, check_queue, is_exactly
from pgjobs.db.job_columns import JobColumns
from pgjobs.jobs.job import options_of
from pgjobs.payload.encoder import encoder_for
from pgjobs.schedules.cron import MISSED, OVERLAP, Missed, Overlap, parse
from pgjobs.schedules.stored_call import kept_options

Ts = TypeVarTuple("Ts")
MAX_SCHEDULE_NAME = 200  # characters
_OWN = {"queue", "priority", "max_attempts", "timeout", "executor", "task"}  # columns of `schedules`


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it is declared.

    `name`: one of its own in the database. `cron`, `tz`: when. `missed`, `overlap`: see `schedule`. `app`: whose it is
    (None: an operator's). The rest is the job that each firing enqueues; `options`: what holds it up, as JSON.
    """

    name: str
    app: str | None
    cron: str
    tz: str
    missed: Missed
    overlap: Overlap
    queue: str
    priority: int
    max_attempts: int
    timeout: float | None
    executor: str | None
    task: str
    summary: str | None
    options: str
    signature: bytes | None
    payload: bytes

    def digest(self) -> bytes:
        """Give what tells two declarations apart."""
        from hashlib import sha256  # it takes its time to load

        return sha256(repr(self).encode()).digest()

    def to_message(self) -> dict[str, Any]:
        """Write it as plain values of JSON."""
        return {**asdict(self), **{name: _encode(getattr(self, name)) for name in ("signature", "payload")}}

    @classmethod
    def from_message(cls, values: Mapping[str, Any]) -> Schedule:
        """Read what `to_message` wrote."""
        return cls(**{**values, **{name: _decode(values[name]) for name in ("signature", "payload")}})


def _encode(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


def _decode(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


_declared: dict[str, Schedule] = {}


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
) -> Schedule:
    """Declare that a call is to be enqueued whenever a cron expression comes true; to be called at import time.

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
        missed: what becomes of firings that nobody enqueued within a minute: "skip" leaves them out, "once" enqueues
            one job for all of them, "all" enqueues each.
        overlap: "skip" enqueues nothing while the job of the firing before waits or runs.
        app: whose it is; None: PGJOBS_APP, or else the top-level package of the module that calls this.

    Raises:
        UsageError: a value that can not be used, or another schedule of this process has that name.
        EnqueueError: the call is refused, as `enqueue` would do it; or it has `delay`, `run_at` or `after`.

    """
    owner = app if app is not None else settings().app or _package(sys._getframe(1).f_globals)
    made = make(cron, callable, args, kwargs, tz=tz, name=name, missed=missed, overlap=overlap, app=check_app(owner))
    before = _declared.get(made.name)
    if before is not None and before != made:
        raise UsageError(
            f"there is another schedule {made.name!r} in this process (cron={before.cron!r}): give this one a name "
            "of its own, name=…."
        )
    _declared[made.name] = made
    return made


def declared() -> list[Schedule]:
    """Give what was declared in this process, signed with the key that it has now."""
    return [signed(made) for made in _declared.values()]


def signed(made: Schedule) -> Schedule:
    """Sign the jobs of a schedule, with the key that this process has now."""
    keys = settings().signing_keys
    if not keys:
        return replace(made, signature=None)
    from pgjobs.payload.signing import (
        sign,
        signed_fields,
    )  # imported lazily: most have no key, hashlib is slow to import

    return replace(made, signature=sign(keys[0], signed_fields(made), made.payload))


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
) -> Schedule:
    """Make a schedule without declaring it; it is not `signed` yet. `queue`: instead of the job's.

    Raises:
        UsageError, EnqueueError: as `schedule`.

    """
    when = parse(cron, tz)
    check_choice("missed", missed, MISSED)
    check_choice("overlap", overlap, OVERLAP)
    if not is_exactly(args, tuple):
        raise UsageError(f"args={shorten_repr(args)}: give a tuple of arguments, also when there is but one: (42,).")
    if kwargs is not None and not is_exactly(kwargs, dict):
        raise UsageError(f"kwargs={shorten_repr(kwargs)}: give a dict of arguments by name.")
    encoder = encoder_for(callable)
    columns = encoder.columns._asdict()
    if columns["run_at"] is not None or columns["delay"]:
        raise EnqueueError(f"{encoder.columns.task} has delay= or run_at=: leave it out, a schedule itself says when.")
    payload, summary = encoder.encode(args, kwargs or {})
    own, keys = {key: columns[key] for key in _OWN}, encoder.keys
    if queue is not None:
        own["queue"] = check_queue(queue)
        if keys is not None:  # the queue may be part of the unique key
            from pgjobs.payload.keys import FlowKeys  # most jobs have none

            keys = FlowKeys(callable, own["task"], own["queue"], options_of(callable).flow)
    return Schedule(
        name=check_schedule_name(encoder.columns.task[:MAX_SCHEDULE_NAME] if name is None else name),
        app=app,
        cron=when.expression,
        tz=when.tz,
        missed=missed,  # type: ignore[arg-type]  # just looked at
        overlap=overlap,  # type: ignore[arg-type]  # just looked at
        **own,
        summary=None if summary is None else summary.encode(errors="replace").decode(),
        options=kept_options(own["task"], keys, args, kwargs or {}),
        signature=None,
        payload=payload,
    )


def columns_of(row: Mapping[str, Any]) -> JobColumns:
    """Give the columns of a job, from a row of `schedules`; `run_at` is left open."""
    return JobColumns(run_at=None, delay=0.0, **{key: row[key] for key in _OWN})


def check_schedule_name(name: object) -> str:
    """Return the name of a schedule.

    Raises:
        UsageError: it is not a name of 1 to 200 printable characters.

    """
    return check_name("name", name, MAX_SCHEDULE_NAME)


def check_app(app: object) -> str:
    """Return the name of an application.

    Raises:
        UsageError: it is not a name of 1 to 100 printable characters.

    """
    return check_name("app", app)


def _package(namespace: Mapping[str, Any]) -> str:
    """Name the application that a module belongs to: its top-level package, or the script that was started."""
    name = str(namespace.get("__name__", ""))
    if name == "__main__":
        spec, file = namespace.get("__spec__"), str(namespace.get("__file__", "main"))
        name = spec.name if spec is not None else file.rpartition("/")[2].removesuffix(".py")
    return name.partition(".")[0]
