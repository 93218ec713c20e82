"""The way in: a job is a row that the caller's own transaction inserts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, overload

from pgjobs.db.caller import runner_of
from pgjobs.errors import EnqueueError
from pgjobs.job import Job, options_of, task_name
from pgjobs.parameters import parameters_of
from pgjobs.payload import dump
from pgjobs.settings import settings
from pgjobs.summary import Summarizer

if TYPE_CHECKING:
    from pgjobs.db.caller import AsyncCaller, Run, RunAsync, SyncCaller

P = ParamSpec("P")

ROWS_AT_ONCE = 2_000  # rows of one statement
BYTES_AT_ONCE = 8 * 1024 * 1024  # bytes of payload in one statement


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A job that was enqueued: `id` is its row in `pgjobs.jobs`, once the transaction is committed."""

    id: int


@overload
def enqueue(
    conn: AsyncCaller, callable: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[Any, Any, JobHandle]: ...
@overload
def enqueue(conn: SyncCaller, callable: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> JobHandle: ...
def enqueue(
    conn: SyncCaller | AsyncCaller, callable: Callable[..., object], /, *args: Any, **kwargs: Any
) -> JobHandle | Coroutine[Any, Any, JobHandle]:
    """Enqueue a call of `callable` with these arguments, in the transaction of `conn`.

    The job exists when that transaction is committed, and never if it is rolled back. Nothing is committed or flushed
    here. The arguments are pickled at once, also where the result has to be awaited.

    Args:
        conn: a SQLAlchemy Session, Connection, AsyncSession or AsyncConnection, or a psycopg Connection or
            AsyncConnection. With one of the async kinds, await the result.
        callable: a job or any other callable that can be pickled; `send.options(delay=60)` changes a job's options.
        args: its arguments.
        kwargs: its keyword arguments.

    Raises:
        EnqueueError: the job is refused, and nothing was written: `conn` is of another kind, the arguments do not fit
            the callable, can not be pickled, or are too large.
        SchemaError: the database has no tables of pgjobs.

    """
    run, run_async = runner_of(conn)
    recipe = _Recipe(callable)
    summary, signature, payload = recipe.row(args, kwargs)
    values = {**recipe.columns, "summary": summary, "signature": signature, "payload": payload}
    if run_async is not None:
        return _enqueue_async(run_async, values)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return JobHandle(run("enqueue", values)[0])


async def _enqueue_async(run: RunAsync, values: Mapping[str, Any]) -> JobHandle:
    return JobHandle((await run("enqueue", values))[0])


@overload
def enqueue_many(
    conn: AsyncCaller,
    callable: Callable[..., object],
    arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]],
    /,
) -> Coroutine[Any, Any, list[JobHandle]]: ...
@overload
def enqueue_many(
    conn: SyncCaller,
    callable: Callable[..., object],
    arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]],
    /,
) -> list[JobHandle]: ...
def enqueue_many(
    conn: SyncCaller | AsyncCaller,
    callable: Callable[..., object],
    arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]],
    /,
) -> list[JobHandle] | Coroutine[Any, Any, list[JobHandle]]:
    """Enqueue one call of `callable` for each item of `arguments`, in the transaction of `conn`.

    The items are read as they are needed, and written by one statement for every 2,000 of them (or 8 MiB), so
    `arguments` may be a generator of any length. When a later item is refused, the statements before it are in the
    transaction already: let the error roll it back. On a connection in autocommit mode every statement is committed by
    itself; open a transaction first if all or none should be enqueued.

    Args:
        conn: as for `enqueue`.
        callable: as for `enqueue`.
        arguments: for each job, a tuple of its arguments, or a mapping of keyword arguments.

    Returns:
        The handles, in the order of the arguments.

    Raises:
        EnqueueError: an item is refused; the message says which, counted from 0.
        SchemaError: the database has no tables of pgjobs.

    """
    run, run_async = runner_of(conn)
    chunks = _Recipe(callable).chunks(arguments)
    if run_async is not None:
        return _enqueue_many_async(run_async, next(chunks, None), chunks)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return _enqueue_many(run, chunks)


def _enqueue_many(run: Run, chunks: Iterator[dict[str, Any]]) -> list[JobHandle]:
    handles: list[JobHandle] = []
    for values in chunks:
        handles += map(JobHandle, run("enqueue_many", values))
    return handles


async def _enqueue_many_async(
    run: RunAsync, first: dict[str, Any] | None, others: Iterator[dict[str, Any]]
) -> list[JobHandle]:
    handles: list[JobHandle] = []
    values = first
    while values is not None:
        handles += map(JobHandle, await run("enqueue_many", values))
        values = next(others, None)
    return handles


# A forgotten await is reported under the name that the caller wrote.
_enqueue_async.__qualname__ = "enqueue"
_enqueue_many_async.__qualname__ = "enqueue_many"


class _Recipe:
    """What the jobs of one callable have in common, and how their rows are made."""

    __slots__ = ("callable", "columns", "keys", "parameters", "summarizer")

    def __init__(self, callable: Callable[..., object]) -> None:
        _check_callable(callable)
        current = settings()
        options = options_of(callable)
        self.callable = callable
        self.parameters = parameters_of(callable)
        self.summarizer = Summarizer(callable) if options.summary and current.summaries else None
        self.columns: dict[str, Any] = {
            "queue": options.queue,
            "priority": options.priority,
            "run_at": options.run_at,
            "delay": options.delay,
            "max_attempts": options.max_attempts,
            "timeout": options.timeout,
            "executor": options.executor,
            "task": task_name(callable),
        }
        self.keys = current.signing_keys

    def row(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str | None, bytes | None, bytes]:
        """Give summary, signature and payload of one job.

        Raises:
            EnqueueError: it is refused.

        """
        misfit = self.parameters.misfit(args, kwargs)
        if misfit:
            raise EnqueueError(f"{self.columns['task']} can not be called with these arguments: {misfit}.")
        payload = dump(self.callable, args, kwargs)
        return (
            None if self.summarizer is None else self.summarizer(args, kwargs),
            self._sign(payload) if self.keys else None,
            payload,
        )

    def _sign(self, payload: bytes) -> bytes:
        from pgjobs.signing import sign  # most have no key, and hashlib takes its time to load

        columns = self.columns
        return sign(
            self.keys[0],
            queue=columns["queue"],
            task=columns["task"],
            executor=columns["executor"],
            timeout=columns["timeout"],
            payload=payload,
        )

    def chunks(self, arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Give the parameters of one statement after another.

        Raises:
            EnqueueError: an item is refused.

        """
        statement = self._statement()
        size = 0
        for index, item in enumerate(_iterated(arguments)):
            try:
                summary, signature, payload = self.row(*_arguments(item))
            except EnqueueError as error:
                raise EnqueueError(f"item {index} of enqueue_many is refused: {error}") from error.__cause__
            statement["summaries"].append(summary)
            statement["signatures"].append(signature)
            statement["payloads"].append(payload)
            size += len(payload)
            if len(statement["payloads"]) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
                yield statement
                statement, size = self._statement(), 0
        if size:
            yield statement

    def _statement(self) -> dict[str, Any]:
        return {**self.columns, "summaries": [], "signatures": [], "payloads": []}


def _iterated(arguments: object) -> Iterator[Any]:
    if isinstance(arguments, str | bytes | Mapping) or not isinstance(arguments, Iterable):
        raise EnqueueError(
            f"enqueue_many takes an iterable of tuples, one for each job, such as [(1,), (2,)]: got a "
            f"{type(arguments).__name__}."
        )
    return iter(arguments)


def _arguments(item: object) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(item, tuple):
        return item, {}
    if isinstance(item, Mapping):
        return (), {**item}
    if type(item).__name__ == "Row" and isinstance(item, Sequence):  # SQLAlchemy's, which is not quite a tuple
        return tuple(item), {}
    raise EnqueueError(
        f"it is a {type(item).__name__}, and each item is a tuple of arguments, also when there is but one: (42,)."
    )


def _check_callable(function: object) -> None:
    if isinstance(function, Job):  # looked at when it was made
        return
    if inspect.iscoroutine(function):
        function.close()
        raise EnqueueError(
            f"{function.__qualname__} was called already: pass the function and its arguments, as in "
            f"enqueue(conn, {function.__name__}, …)."
        )
    if not callable(function):
        raise EnqueueError(
            f"a {type(function).__name__} is not callable: pass the function itself and then its arguments, as in "
            "enqueue(conn, send_receipt, 42)."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise EnqueueError(f"{task_name(function)} is a generator function: calling it would run none of it.")
