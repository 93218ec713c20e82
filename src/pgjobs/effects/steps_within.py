"""Steps in the transaction of the job's own work: what they have done and that they are done is one commit."""

from __future__ import annotations

from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import StaleClaimError, UsageError
from pgjobs.db.adapters.detect import runner_of
from pgjobs.db.adapters.errors import sqlstate_of
from pgjobs.effects.own_transaction import STALE, refuse_autocommit, refuse_autocommit_async
from pgjobs.effects.steps import check_key, restored, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pgjobs.core.callers import AsyncCaller, SyncCaller
    from pgjobs.db.adapters.detect import RunAsync
    from pgjobs.jobs.context import RunningJob

_AUTOCOMMIT = ("once_in()", "would remember the step apart from its effects")
_DONE_BY_ANOTHER = "23505"  # SQLSTATE: the key of the table of steps


def once_in(
    job: RunningJob,
    conn: SyncCaller | AsyncCaller,
    key: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Do a step in the transaction of `conn`, or return what it has returned; on an async connection, await it.

    Raises:
        UsageError: the key or the connection cannot be used, or an async function has a connection that is not.
        ResultError: the value cannot be stored.
        StaleClaimError: the job belongs to another attempt by now, or that has done the step.

    """
    check_key(key)
    run, run_async = runner_of(conn)
    if run_async is not None:
        return _once_in_async(job, conn, run_async, key, function, args, kwargs)
    assert run is not None  # noqa: S101 (for mypy: one of the two is there)
    refuse_autocommit(conn, *_AUTOCOMMIT)
    if iscoroutinefunction(function):
        raise UsageError(f"once_in(…, {key!r}, …): an async function needs an async connection.")
    found = run("read_step_within", None, {"id": job.id, "key": key}, read=_bytes)
    if found:
        return restored(job.id, key, *found)
    value = function(*args, **kwargs)
    if isawaitable(value):
        getattr(value, "close", bool)()  # Python would complain that it was not awaited
        raise UsageError(f"once_in(…, {key!r}, …): the function returned what has to be awaited: make it an async def.")
    try:
        run("write_step_within", None, _step(job, key, value))
    except Exception as error:
        _refuse_stale(job, key, error)
        raise
    return value


async def _once_in_async(
    job: RunningJob,
    conn: Any,
    run: RunAsync,
    key: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    await refuse_autocommit_async(conn, *_AUTOCOMMIT)
    found = await run("read_step_within", None, {"id": job.id, "key": key}, read=_bytes)
    if found:
        return restored(job.id, key, *found)
    value = function(*args, **kwargs)
    if isawaitable(value):
        value = await value
    try:
        await run("write_step_within", None, _step(job, key, value))
    except Exception as error:
        _refuse_stale(job, key, error)
        raise
    return value


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def _step(job: RunningJob, key: str, value: object) -> dict[str, Any]:
    data, signature = stored(job.id, job.task, key, value)
    return {"id": job.id, "claim_number": job.claim_number, "key": key, "value": data, "signature": signature}


def _refuse_stale(job: RunningJob, key: str, error: Exception) -> None:
    state = sqlstate_of(error)
    if state == STALE or (state == _DONE_BY_ANOTHER and "job_steps" in str(error)):
        raise StaleClaimError(
            f"job {job.id} ({job.task}), step {key!r}: the job no longer belongs to this attempt, or another one has "
            "done the step at the same time. Roll back."
        ) from error
