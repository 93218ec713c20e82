"""`wait_for` and `sleep`: a job gives its slot back, and continues as an attempt that does not count. And `signal`."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, overload

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import MAX_DELAY, Seconds, check_seconds
from pgjobs.db.adapters.awaitable import Enqueueing
from pgjobs.db.adapters.detect import runner_of
from pgjobs.db.query import check_id
from pgjobs.jobs.context import current, current_step
from pgjobs.jobs.outcome import Suspended
from pgjobs.workflows.connection import StepConnection
from pgjobs.workflows.handle import WorkflowHandle

if TYPE_CHECKING:
    from pgjobs.core.callers import AsyncCaller, SyncCaller
    from pgjobs.db.adapters.detect import RunAsync
    from pgjobs.db.query import AnyJob
    from pgjobs.jobs.context import RunningJob

MAX_NAME = 200
MAX_PAYLOAD = 64 * 1024  # bytes of JSON
_sleeps: ContextVar[int] = ContextVar("pgjobs_sleeps", default=0)  # of this attempt


@cache
def _connection() -> StepConnection:
    return StepConnection()


def wait_for(name: str, timeout: Seconds | None = None) -> Any:
    """Wait in a job until something of this name is said to it, or to its workflow, and return what was said.

    If that was said already, it returns at once. Otherwise it leaves the job, which gives its slot back and starts
    again from its beginning when the signal comes, as an attempt that does not count: so do what must not be repeated
    in a step of its own, or with `current_job().once`. It leaves by an exception that `except Exception` does not
    catch.

    `timeout`: the longest wait, in seconds or as a timedelta, from the first call on. None: no limit.

    Raises:
        TimeoutError: nothing was said in time.
        LookupError: no job is running here.
        UsageError: the name or the timeout cannot be used.

    """
    job, signal = _running("wait_for"), _check_name("wait_for", name)
    seconds = None if timeout is None else check_seconds("timeout", timeout)
    workflow = _workflow()
    values: dict[str, Any] = {"job": job.id, "workflow": workflow, "wait": f"signal:{signal}", "signal": signal}
    for began in (False, True):
        row = _connection().rows("read_signal", **values)[0]
        if row["arrived"]:
            if row["waits"]:
                _connection().rows("end_wait", job=job.id, wait=values["wait"])
            return row["payload"]
        if row["waits"] and row["is_over"]:
            raise TimeoutError(f"nothing was said to job {job.id} as {signal!r} in time.")
        if not began and not row["waits"]:
            _connection().rows("begin_wait", **values, seconds=seconds)
    raise Suspended(MAX_DELAY if row["seconds"] is None else max(0.0, row["seconds"]), f"waits for {signal!r}")


def sleep(duration: Seconds, *, name: str | None = None) -> None:
    """Sleep in a job, for days if need be, without holding a slot or a process.

    The job starts again from its beginning when the time is over, as an attempt that does not count, and then this call
    returns at once. `name`: what the sleep is known by in all attempts. None: that it is the first, second, … of them.

    Raises:
        LookupError: no job is running here.
        UsageError: the duration or the name cannot be used.

    """
    job = _running("sleep")
    seconds = check_seconds("duration", duration)
    if name is None:
        _sleeps.set(_sleeps.get() + 1)
        key = f"sleep:{_sleeps.get()}"
    else:
        key = f"sleep:{_check_name('sleep', name)}"
    values: dict[str, Any] = {"job": job.id, "workflow": None, "wait": key, "signal": None}
    row = _connection().rows("read_signal", **values)[0]
    if not row["waits"]:
        _connection().rows("begin_wait", **values, seconds=seconds)
        row = _connection().rows("read_signal", **values)[0]
    if not row["is_over"]:
        raise Suspended(max(0.0, row["seconds"]), "sleeps")


def _running(word: str) -> RunningJob:
    job = current.get()
    if job is None:
        raise LookupError(f"{word}() was called outside a job; call it in the function that the job runs.")
    return job


def _workflow() -> int | None:
    step = current_step.get()
    return None if step is None else step.id


# -- For others ------------------------------------------------------------------------------------------------------


@overload
def signal(
    conn: AsyncCaller, to: WorkflowHandle | AnyJob, name: str, payload: Any = None
) -> Coroutine[Any, Any, bool]: ...
@overload
def signal(conn: SyncCaller, to: WorkflowHandle | AnyJob, name: str, payload: Any = None) -> bool: ...
def signal(
    conn: SyncCaller | AsyncCaller, to: WorkflowHandle | AnyJob, name: str, payload: Any = None
) -> bool | Coroutine[Any, Any, bool]:
    """Send a signal to a job, or to all jobs of a workflow, in the transaction of `conn`.

    It is kept, so it does not matter whether anything waits for it yet. The first signal of a name counts, and stays.

    Args:
        conn: as for `enqueue`. With one of the async kinds, await the result.
        to: the handle of a workflow; or the handle or the id of a job.
        name: what `wait_for` is called with.
        payload: what `wait_for` returns: a JSON value of up to 64 kB.

    Returns:
        Whether it is the first of this name.

    Raises:
        UsageError: the name, the payload or the id cannot be used.

    """
    kind = "workflow" if isinstance(to, WorkflowHandle) else "job"
    target = to.id if isinstance(to, WorkflowHandle) else check_id(to)
    values = {"kind": kind, "target": target, "name": _check_name("signal", name), "payload": _json(payload)}
    run, run_async = runner_of(conn)
    if run_async is not None:
        return Enqueueing(_signal_async(run_async, values), conn, "signal", f"{kind} {target}")
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return run("signal", None, values) == [1]


async def _signal_async(run: RunAsync, values: dict[str, Any]) -> bool:
    return await run("signal", None, values) == [1]


def _check_name(word: str, name: object) -> str:
    if isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable():
        return name
    raise UsageError(f"{word}({shorten_repr(name)}): give a name of 1 to {MAX_NAME} printable characters.")


def _json(payload: object) -> str:
    try:
        text = json.dumps(payload, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"the payload of a signal is {shorten_repr(payload)}, which JSON does not have ({error}): give strings, "
            "numbers, booleans, None, lists and dicts."
        ) from None
    if len(text) > MAX_PAYLOAD or "\\u0000" in text:
        raise UsageError(
            f"the payload of a signal has {len(text):,} bytes of JSON, or the character U+0000: {MAX_PAYLOAD:,} are "
            "allowed. Store it elsewhere, and send a reference to it."
        )
    return text
