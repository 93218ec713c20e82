"""`broadcast()`: every live worker process, or one of each host, runs a function once, whatever it is busy with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, TypeVarTuple, overload

from pgjobs.core.config import settings
from pgjobs.core.errors import EnqueueError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import Seconds, as_str, check_choice, check_new_queue, check_seconds
from pgjobs.db.adapters.awaitable import Enqueueing
from pgjobs.db.adapters.detect import runner_of
from pgjobs.jobs.batch_job import BatchJob
from pgjobs.jobs.broadcast import BroadcastHandle
from pgjobs.jobs.enqueueable import others
from pgjobs.jobs.job import job_inside
from pgjobs.jobs.options import DEFAULT_QUEUE
from pgjobs.jobs.tracing import followed, followed_async, installed, send
from pgjobs.jobs.transaction import TransactionJob
from pgjobs.payload.encoder import described, encoder_for
from pgjobs.payload.step import with_head

if TYPE_CHECKING:
    from pgjobs.core.callers import AsyncCaller, SyncCaller
    from pgjobs.db.adapters.detect import Run, RunAsync
    from pgjobs.db.enqueue_columns import EnqueueColumns

R = TypeVar("R")
Arguments = TypeVarTuple("Arguments")
Late: TypeAlias = Literal["run", "skip"]

QUEUE = "queue:"


@overload
def broadcast(
    conn: AsyncCaller,
    callable: Callable[[*Arguments], Awaitable[R]],
    /,
    *args: *Arguments,
    on: str = "workers",
    late: Late = "run",
    within: Seconds = 60.0,
) -> Coroutine[Any, Any, BroadcastHandle[R]]: ...
@overload
def broadcast(
    conn: AsyncCaller,
    callable: Callable[[*Arguments], R],
    /,
    *args: *Arguments,
    on: str = "workers",
    late: Late = "run",
    within: Seconds = 60.0,
) -> Coroutine[Any, Any, BroadcastHandle[R]]: ...
@overload
def broadcast(
    conn: SyncCaller,
    callable: Callable[[*Arguments], Awaitable[R]],
    /,
    *args: *Arguments,
    on: str = "workers",
    late: Late = "run",
    within: Seconds = 60.0,
) -> BroadcastHandle[R]: ...
@overload
def broadcast(
    conn: SyncCaller,
    callable: Callable[[*Arguments], R],
    /,
    *args: *Arguments,
    on: str = "workers",
    late: Late = "run",
    within: Seconds = 60.0,
) -> BroadcastHandle[R]: ...
def broadcast(
    conn: SyncCaller | AsyncCaller,
    callable: Callable[[*Arguments], Any],
    /,
    *args: *Arguments,
    on: str = "workers",
    late: Late = "run",
    within: Seconds = 60.0,
) -> BroadcastHandle[Any] | Coroutine[Any, Any, BroadcastHandle[Any]]:
    """Have every live worker process run a function once, when the transaction of `conn` is committed.

        broadcast(conn, reload_config)

    Each has a thread for that, so it runs although all slots are taken. It is tried once, and a row of
    `pgjobs.broadcast_runs` says what came of it: completed, failed, or gone with its process.

    Args:
        conn: as for `enqueue`; on one of the async kinds, await the result.
        callable: a function or a job; of a job's options only the name, the timeout and the payload count.
        args: its arguments, by position; `functools.partial` has others.
        on: "workers", the worker processes; "hosts": one process of each host; or "queue:mail": the worker processes
            that serve this queue.
        late: whether those that start after the commit "run" it as well, or "skip" it.
        within: how long after the commit, in seconds or as a timedelta; 366 days at most.

    Returns:
        Its handle: `results(engine, handle)` waits for what the function returns in all of them.

    Raises:
        UsageError: an option cannot be used, or one of the job's would have no effect.
        EnqueueError: as for `enqueue`.
        SchemaError: the database has no tables of pgjobs, or older ones.
        Exception: as for `enqueue`.

    """
    run, run_async = runner_of(conn)
    target, seconds = _target(on), _within(late, within)
    if installed.tracing is not None:
        return _broadcast_followed(conn, run, run_async, callable, args, target, seconds)
    columns, values = _row(callable, args, target, seconds)
    if run_async is not None:
        return Enqueueing(_broadcast_async(run_async, columns, values), conn, "broadcast", columns.task)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return _broadcast(run, columns, values)


def _broadcast_followed(
    conn: SyncCaller | AsyncCaller,
    run: Run | None,
    run_async: RunAsync | None,
    callable: Callable[..., Any],
    args: tuple[Any, ...],
    target: str,
    within: float,
) -> BroadcastHandle[Any] | Coroutine[Any, Any, BroadcastHandle[Any]]:
    """Do the same, followed by a span, whose context travels in the payload."""
    assert installed.tracing is not None  # noqa: S101 (the caller has looked)
    sending = send(target, operation="broadcast")
    try:
        with sending.current():
            columns, values = _row(callable, args, target, within, installed.tracing.carried())
    except BaseException as error:
        sending.end((), error)
        raise
    if run_async is not None:
        writing = followed_async(sending, partial(_broadcast_async, run_async, columns, values), _ids_of)
        return Enqueueing(writing, conn, "broadcast", columns.task)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return followed(sending, partial(_broadcast, run, columns, values), _ids_of)


def _ids_of(handle: BroadcastHandle[Any]) -> tuple[int, ...]:
    return (handle.id,)


def _broadcast(run: Run, columns: EnqueueColumns, values: dict[str, Any]) -> BroadcastHandle[Any]:
    return BroadcastHandle(run("add_broadcast", columns, values)[0])


async def _broadcast_async(run: RunAsync, columns: EnqueueColumns, values: dict[str, Any]) -> BroadcastHandle[Any]:
    return BroadcastHandle((await run("add_broadcast", columns, values))[0])


def _target(on: object) -> str:
    text = as_str(on)
    if text in ("workers", "hosts"):
        return text
    if text is None or not text.startswith(QUEUE):
        raise UsageError(f"on={shorten_repr(on)}: give 'workers', 'hosts', or a queue such as 'queue:mail'.")
    return QUEUE + check_new_queue(text.removeprefix(QUEUE))


def _within(late: object, within: object) -> float:
    """Return for how many seconds those that start after the commit run it."""
    seconds = check_seconds("within", within, most=366 * 86400.0)
    return 0.0 if check_choice("late", late, ("run", "skip")) == "skip" else seconds


def _row(
    callable: Callable[..., Any],
    args: tuple[Any, ...],
    target: str,
    within: float,
    carried: Mapping[str, str] | None = None,
) -> tuple[EnqueueColumns, dict[str, Any]]:
    _refuse_others(callable)
    encoder = encoder_for(callable)
    columns = encoder.columns._replace(queue=DEFAULT_QUEUE, meta=None)
    payload, summary = encoder.encode(args, {})
    if carried:
        payload = with_head({"carried": dict(carried)}, payload)
    keys, signature = settings().signing_keys, None
    if keys:
        from pgjobs.payload.signing import sign_broadcast  # imported lazily: hashlib is slow to import

        signature = sign_broadcast(keys[0], target, columns.task, columns.timeout, payload)
    return columns, {
        "target": target,
        "within": within,
        "summary": summary,
        "signature": signature,
        "payload": payload,
    }


def _refuse_others(callable: Any) -> None:
    """Refuse what is not called as it stands, and options that would have no effect.

    Raises:
        UsageError: it is such a thing.
        EnqueueError: it is not a function.

    """
    if type(callable) in others:
        raise EnqueueError(f"a {type(callable).__name__} cannot be broadcast: give a function.")
    task, options = described(callable)
    if options.flow.stage is not None:
        raise UsageError(f"{callable!r} cannot be broadcast: give a function.")
    inner = job_inside(callable)
    if isinstance(inner, BatchJob | TransactionJob):
        own = "a list of what comes together (batch=)" if isinstance(inner, BatchJob) else "a connection (transaction=)"
        raise UsageError(f"{task} gets {own}, and a broadcast is one call: broadcast a function of its own.")
    for option, given in (
        ("delay", options.delay),
        ("run_at", options.run_at is not None),
        ("after", options.flow.after is not None),
    ):
        if given:
            raise UsageError(
                f"options({option}=…) of {task} has no effect: a broadcast runs as soon as it is committed."
            )
