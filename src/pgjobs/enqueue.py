"""The way in: a job is a row that the caller's own transaction inserts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, ParamSpec, overload

from pgjobs.db.caller import runner_of
from pgjobs.errors import EnqueueError
from pgjobs.recipe import recipe_of

if TYPE_CHECKING:
    from pgjobs.db.caller import AsyncCaller, Cells, RunAsync, SyncCaller
    from pgjobs.recipe import Columns, Recipe

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
        Exception: what the driver says of the connection itself (closed, read-only, its transaction has failed), as it
            says it of your own statements.

    """
    run, run_async = runner_of(conn)
    recipe = recipe_of(callable)
    payload, summary = recipe.make(args, kwargs)
    cells: Cells = {"summary": summary, "signature": recipe.signature(payload), "payload": payload}
    name = "enqueue"
    if recipe.keys is not None:
        lane, cost = recipe.keys.lane_and_cost(args, kwargs)
        cells, name = {**cells, **recipe.keys.common, "lane": lane, "cost": cost}, "enqueue_controlled"
    if run_async is not None:
        return _enqueue_async(run_async, name, recipe.columns, cells)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return JobHandle(run(name, recipe.columns, cells)[0])


async def _enqueue_async(run: RunAsync, name: str, columns: Columns, cells: Cells) -> JobHandle:
    return JobHandle((await run(name, columns, cells))[0])


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
        Exception: as for `enqueue`; and what `arguments` itself raises while it is read.

    """
    run, run_async = runner_of(conn)
    recipe = recipe_of(callable)
    chunks = _chunks(recipe, _iterated(arguments))
    name = "enqueue_many" if recipe.keys is None else "enqueue_many_controlled"
    if run_async is not None:
        return _enqueue_many_async(run_async, name, recipe.columns, next(chunks, None), chunks)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    handles: list[JobHandle] = []
    for cells in chunks:
        handles += _handles(run(name, recipe.columns, cells))
    return handles


async def _enqueue_many_async(
    run: RunAsync, name: str, columns: Columns, first: Cells | None, others: Iterator[Cells]
) -> list[JobHandle]:
    handles: list[JobHandle] = []
    cells = first
    while cells is not None:
        handles += _handles(await run(name, columns, cells))
        cells = next(others, None)
    return handles


def _handles(ids: Sequence[int]) -> list[JobHandle]:
    # What `JobHandle(id)` does, in half of its time: a tenth of what a bulk enqueue takes in the client.
    handles = list(map(object.__new__, repeat(JobHandle, len(ids))))
    deque(map(JobHandle.__dict__["id"].__set__, handles, ids), maxlen=0)
    return handles


# A forgotten await is reported under the name that the caller wrote.
_enqueue_async.__qualname__ = "enqueue"
_enqueue_many_async.__qualname__ = "enqueue_many"


def _chunks(recipe: Recipe, items: Iterator[Any]) -> Iterator[Cells]:
    """Give the cells of one statement after another.

    Each item is pickled before the next one is read: a generator may yield the same object again, changed.

    Raises:
        EnqueueError: an item is refused.

    """
    plain, is_signed, keys = recipe.plain, recipe.is_signed, recipe.keys
    done = 0
    while True:
        summaries: list[str | None] = []
        signatures: list[bytes | None] = []
        payloads: list[bytes] = []
        turns: list[tuple[str | None, float | None]] = []
        size = 0
        for item in items:
            try:
                made = plain(item) if type(item) is tuple else None
                payload, summary = made or recipe.make(*_arguments(item))
                if keys is not None:
                    turns.append(keys.lane_and_cost(*_arguments(item)))
            except EnqueueError as error:
                index = done + len(payloads)
                raise EnqueueError(f"item {index} of enqueue_many is refused: {error}") from error.__cause__
            payloads.append(payload)
            summaries.append(summary)
            if is_signed:
                signatures.append(recipe.signature(payload))
            size += len(payload)
            if len(payloads) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
                break
        if not payloads:
            return
        done += len(payloads)
        cells: dict[str, Any] = {
            "summaries": summaries if recipe.is_summarized else None,
            "signatures": signatures if is_signed else None,
            "payloads": payloads,
        }
        if keys is not None:
            lanes, costs = zip(*turns, strict=True)
            cells.update(keys.common)
            cells["lanes"] = None if lanes[0] is None else list(lanes)
            cells["costs"] = None if costs[0] is None else list(costs)
        yield cells


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
    except Exception as error:  # a class of somebody's may raise whatever it likes
        raise EnqueueError(f"its {type(item).__name__} can not be read, it raises {type(error).__name__}.") from error
    raise EnqueueError(
        f"it is a {type(item).__name__}, and each item is a tuple of arguments, also when there is but one: (42,)."
    )
