"""The way in: a job is a row that the caller's own transaction inserts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, overload

from pgjobs.core.errors import EnqueueError
from pgjobs.db.adapters.awaitable import Enqueueing
from pgjobs.db.adapters.detect import runner_of
from pgjobs.db.adapters.errors import kept_out
from pgjobs.hooks.enqueueing import added_meta
from pgjobs.hooks.kinds import enqueue_hooks
from pgjobs.jobs.enqueueable import others
from pgjobs.jobs.handle import JobHandle
from pgjobs.jobs.tracing import followed, followed_async, send
from pgjobs.payload.encoder import described, encoder_for, encoder_with_meta

if TYPE_CHECKING:
    from pgjobs.core.callers import AsyncCaller, SyncCaller
    from pgjobs.db.adapters.detect import RowValues, Run, RunAsync
    from pgjobs.jobs.batch_job import BatchJob
    from pgjobs.jobs.transaction import TransactionJob
    from pgjobs.payload.encoder import CallEncoder
    from pgjobs.payload.keys import CallKeys
    from pgjobs.workflows.handle import WorkflowHandle
    from pgjobs.workflows.workflow import Workflow

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Step: TypeAlias = "tuple[str, RowValues]"

ROWS_AT_ONCE = 2_000  # rows of one statement
BYTES_AT_ONCE = 8 * 1024 * 1024  # bytes of payload in one statement
_LOCK = "lock_unique_keys"
_NO_KEYWORDS: Mapping[str, Any] = {}


# First the jobs that are called otherwise than they are enqueued: those whose workers pass the first argument, and
# those of batches, which get a list. Then what is awaited, because that is what counts of an `async def`.
@overload
def enqueue(
    conn: AsyncCaller, callable: TransactionJob[Any, P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[Any, Any, JobHandle[R]]: ...
@overload
def enqueue(
    conn: AsyncCaller, callable: TransactionJob[Any, P, R], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[Any, Any, JobHandle[R]]: ...
@overload
def enqueue(
    conn: SyncCaller, callable: TransactionJob[Any, P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> JobHandle[R]: ...
@overload
def enqueue(
    conn: SyncCaller, callable: TransactionJob[Any, P, R], /, *args: P.args, **kwargs: P.kwargs
) -> JobHandle[R]: ...
@overload
def enqueue(conn: AsyncCaller, callable: BatchJob[T, R, object], item: T, /) -> Coroutine[Any, Any, JobHandle[R]]: ...
@overload
def enqueue(conn: SyncCaller, callable: BatchJob[T, R, object], item: T, /) -> JobHandle[R]: ...
@overload
def enqueue(conn: AsyncCaller, workflow: Workflow, /) -> Coroutine[Any, Any, WorkflowHandle]: ...
@overload
def enqueue(conn: SyncCaller, workflow: Workflow, /) -> WorkflowHandle: ...
@overload
def enqueue(
    conn: AsyncCaller, callable: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[Any, Any, JobHandle[R]]: ...
@overload
def enqueue(
    conn: AsyncCaller, callable: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[Any, Any, JobHandle[R]]: ...
@overload
def enqueue(
    conn: SyncCaller, callable: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
) -> JobHandle[R]: ...
@overload
def enqueue(conn: SyncCaller, callable: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]: ...
def enqueue(
    conn: SyncCaller | AsyncCaller, callable: Any, /, *args: Any, **kwargs: Any
) -> JobHandle[Any] | WorkflowHandle | Coroutine[Any, Any, JobHandle[Any] | WorkflowHandle]:
    """Enqueue a call of `callable` with these arguments, or a workflow, in the transaction of `conn`.

    The job exists when that transaction is committed, and never if it is rolled back. Nothing is committed or flushed
    here. The arguments are pickled at once, also where the result has to be awaited.

    Args:
        conn: a SQLAlchemy Session, Connection, AsyncSession or AsyncConnection, a psycopg Connection or
            AsyncConnection, or Django's connection. With one of the async kinds, await the result: if that is
            forgotten, a warning says so, and a transaction of SQLAlchemy does not commit.
        callable: a job or any other callable that can be pickled; `send.options(delay=60)` changes a job's options.
        args: its arguments.
        kwargs: its keyword arguments.

    Returns:
        The handle of the job, or of the workflow; where another has its unique key, that one's, with `conflict` set.

    Raises:
        EnqueueError: the job is refused, and nothing was written: `conn` is of another kind, the arguments do not fit
            the callable, cannot be pickled, are too large, or make no key; or it is to wait for a job that there is
            not. Or PostgreSQL has not let its row in; then roll back.
        DuplicateJobError: another job has its unique key, and `on_conflict="raise"`; nothing was written.
        SchemaError: the database has no tables of pgjobs.
        Exception: what the driver says of the connection itself (closed, read-only, its transaction has failed), as it
            says it of your own statements.

    """
    if type(callable) in others:
        return others[type(callable)](conn, callable, args, kwargs)  # type: ignore[no-any-return]  # a handle
    if enqueue_hooks.hooks:
        return _enqueue_hooked(conn, callable, args, kwargs)
    run, run_async = runner_of(conn)
    encoder = encoder_for(callable)
    values = encoder.row_values(args, kwargs)
    if run_async is not None:
        return Enqueueing(_enqueue_async(run_async, encoder, values), conn, "enqueue", encoder.columns.task)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    ids = run(encoder.statement, encoder.columns, values)
    if not ids:
        raise kept_out(0, 1)
    return JobHandle(ids[0]) if encoder.keys is None else encoder.handles(ids, values)[0]


def _enqueue_hooked(
    conn: SyncCaller | AsyncCaller, callable: Callable[..., object], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> JobHandle[Any] | Coroutine[Any, Any, JobHandle[Any]]:
    """Do the same with the metadata that hooks have added."""
    run, run_async = runner_of(conn)
    task, options = described(callable)
    sending = send(options.queue)
    try:
        with sending.current():
            encoder = encoder_with_meta(callable, added_meta(task, options, args, kwargs))
            values = encoder.row_values(args, kwargs)
    except BaseException as error:
        sending.end((), error)
        raise
    if run_async is not None:
        writing = followed_async(sending, partial(_enqueue_async, run_async, encoder, values), _id_of)
        return Enqueueing(writing, conn, "enqueue", task)

    def write() -> JobHandle[Any]:
        assert run is not None  # noqa: S101 (runner_of gives one of the two)
        ids = run(encoder.statement, encoder.columns, values)
        if not ids:
            raise kept_out(0, 1)
        return encoder.handles(ids, values)[0]

    return followed(sending, write, _id_of)


def _id_of(handle: JobHandle[Any]) -> Sequence[int]:
    return (handle.id,)


def _ids_of(handles: Iterable[JobHandle[Any]]) -> Sequence[int]:
    return [handle.id for handle in handles]


async def _enqueue_async(run: RunAsync, encoder: CallEncoder, values: RowValues) -> JobHandle[Any]:
    ids = await run(encoder.statement, encoder.columns, values)
    if not ids:
        raise kept_out(0, 1)
    return encoder.handles(ids, values)[0]


@overload
def enqueue_many(
    conn: AsyncCaller, callable: BatchJob[T, R, object], arguments: Iterable[tuple[T]], /
) -> Coroutine[Any, Any, list[JobHandle[R]]]: ...
@overload
def enqueue_many(
    conn: SyncCaller, callable: BatchJob[T, R, object], arguments: Iterable[tuple[T]], /
) -> list[JobHandle[R]]: ...
@overload
def enqueue_many(
    conn: AsyncCaller,
    callable: Callable[..., Awaitable[R]],
    arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]],
    /,
) -> Coroutine[Any, Any, list[JobHandle[R]]]: ...
@overload
def enqueue_many(
    conn: AsyncCaller,
    callable: Callable[..., R],
    arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]],
    /,
) -> Coroutine[Any, Any, list[JobHandle[R]]]: ...
@overload
def enqueue_many(
    conn: SyncCaller,
    callable: Callable[..., Awaitable[R]],
    arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]],
    /,
) -> list[JobHandle[R]]: ...
@overload
def enqueue_many(
    conn: SyncCaller,
    callable: Callable[..., R],
    arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]],
    /,
) -> list[JobHandle[R]]: ...
def enqueue_many(
    conn: SyncCaller | AsyncCaller,
    callable: Callable[..., object],
    arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]],
    /,
) -> list[JobHandle[Any]] | Coroutine[Any, Any, list[JobHandle[Any]]]:
    """Enqueue one call of `callable` for each item of `arguments`, in the transaction of `conn`.

    The items are read as they are needed, and written by one statement for every 2,000 of them (or 8 MiB), so
    `arguments` may be a generator of any length; only where jobs have unique keys, all are read first. When a later
    item is refused, the statements before it are in the transaction already: let the error roll it back. On a
    connection in autocommit mode every statement is committed by itself; open a transaction first if all or none should
    be enqueued.

    Args:
        conn: as for `enqueue`.
        callable: as for `enqueue`.
        arguments: for each job, a tuple of its arguments, or a mapping of keyword arguments.

    Returns:
        The handles, in the order of the arguments.

    Raises:
        EnqueueError: an item is refused; the message says which, counted from 0.
        DuplicateJobError: as for `enqueue`; of the statement that this item belongs to, nothing was written.
        SchemaError: the database has no tables of pgjobs.
        Exception: as for `enqueue`; and what `arguments` itself raises while it is read.

    """
    if enqueue_hooks.hooks:
        return _enqueue_many_hooked(conn, callable, arguments)
    run, run_async = runner_of(conn)
    encoder = encoder_for(callable)
    steps = _steps(encoder, _chunks(encoder, _iterated(arguments)))
    if run_async is not None:
        coroutine = _enqueue_many_async(run_async, encoder, next(steps, None), steps)
        return Enqueueing(coroutine, conn, "enqueue_many", encoder.columns.task)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return _write_all(run, encoder, steps)


def _enqueue_many_hooked(
    conn: SyncCaller | AsyncCaller, callable: Callable[..., object], arguments: Iterable[Any]
) -> list[JobHandle[Any]] | Coroutine[Any, Any, list[JobHandle[Any]]]:
    """Do the same with the metadata that hooks have added, which is that of all these jobs."""
    run, run_async = runner_of(conn)
    task, options = described(callable)
    sending = send(options.queue, many=True)
    try:
        with sending.current():
            encoder = encoder_with_meta(callable, added_meta(task, options))
            steps = _steps(encoder, _chunks(encoder, _iterated(arguments)))
            first = None if run_async is None else next(steps, None)
    except BaseException as error:
        sending.end((), error)
        raise
    if run_async is not None:
        writing = partial(_enqueue_many_async, run_async, encoder, first, steps)
        return Enqueueing(followed_async(sending, writing, _ids_of), conn, "enqueue_many", task)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return followed(sending, partial(_write_all, run, encoder, steps), _ids_of)


def _write_all(run: Run, encoder: CallEncoder, steps: Iterator[Step]) -> list[JobHandle[Any]]:
    handles: list[JobHandle[Any]] = []
    for name, values in steps:
        handles += _handles(encoder, run(name, encoder.columns, values), name, values, len(handles))
    return handles


async def _enqueue_many_async(
    run: RunAsync, encoder: CallEncoder, step: Step | None, others: Iterator[Step]
) -> list[JobHandle[Any]]:
    handles: list[JobHandle[Any]] = []
    while step is not None:
        name, values = step
        handles += _handles(encoder, await run(name, encoder.columns, values), name, values, len(handles))
        step = next(others, None)
    return handles


def _steps(encoder: CallEncoder, chunks: Iterator[RowValues]) -> Iterator[Step]:
    """Yield the statements, by their names, with the values of their rows."""
    keys = encoder.keys
    if keys is not None and keys.is_unique:
        # Two callers with the same keys in different orders would wait for each other, from one statement to another.
        all_chunks = list(chunks)
        if len(all_chunks) > 1:
            yield _LOCK, {"summaries": None, "keys": [key for values in all_chunks for key in values["keys"]]}
        chunks = iter(all_chunks)
    for values in chunks:
        yield encoder.batch_statement, values


def _handles(
    encoder: CallEncoder, ids: Sequence[int], name: str, values: RowValues, first: int
) -> list[JobHandle[Any]]:
    if name == _LOCK:
        return []
    if len(ids) < len(values["payloads"]) and 0 not in ids:  # a 0 is an answer of enqueue_after_checks.sql
        raise kept_out(len(ids), len(values["payloads"]))
    return encoder.handles(ids, values, first=first)


def _chunks(encoder: CallEncoder, items: Iterator[Any]) -> Iterator[RowValues]:
    """Yield the values of the rows of one statement after another.

    Each item is pickled before the next one is read: a generator may yield the same object again, changed.

    Raises:
        EnqueueError: an item is refused.

    """
    fast_path, encode_any, keys = encoder.fast_path, encoder.encode_any, encoder.keys
    done = 0
    while True:
        summaries: list[str | None] = []
        payloads: list[bytes] = []
        call_keys: list[CallKeys] = []
        size = 0
        for item in items:
            try:
                if type(item) is tuple:
                    args, kwargs = item, _NO_KEYWORDS
                    made = fast_path(item)
                else:
                    args, kwargs = _arguments(item)
                    made = None
                payload, summary = made or encode_any(args, kwargs)
                if keys is not None:
                    call_keys.append(keys.call_keys(args, kwargs))
            except EnqueueError as error:
                index = done + len(payloads)
                raise EnqueueError(f"item {index} of enqueue_many is refused: {error}") from error.__cause__
            payloads.append(payload)
            summaries.append(summary)
            size += len(payload)
            if len(payloads) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
                break
        if not payloads:
            return
        done += len(payloads)
        yield encoder.batch_values(payloads, summaries, call_keys)


def _iterated(arguments: object) -> Iterator[Any]:
    try:
        items = None if isinstance(arguments, str | bytes | Mapping) else iter(arguments)  # type: ignore[call-overload]
    except Exception:  # it is not iterable, or answers nonsense
        items = None
    if items is not None:
        return items  # type: ignore[no-any-return]  # what iter() gives
    raise EnqueueError(
        f"enqueue_many takes an iterable of tuples, one for each job, such as [(1,), (2,)]: got a "
        f"{type(arguments).__name__}."
    )


def _arguments(item: object) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    try:
        if isinstance(item, tuple):
            return tuple(item), {}
        if isinstance(item, Mapping):
            return (), {**item}
        if type(item).__name__ == "Row" and isinstance(item, Sequence):  # SQLAlchemy's, which is not quite a tuple
            return tuple(item), {}
    except Exception as error:  # the caller's class may raise anything
        raise EnqueueError(f"its {type(item).__name__} cannot be read, it raises {type(error).__name__}.") from error
    raise EnqueueError(
        f"it is a {type(item).__name__}, and each item is a tuple of arguments, also when there is but one: (42,)."
    )
