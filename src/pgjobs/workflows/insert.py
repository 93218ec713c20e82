"""Inserts a workflow in the caller's transaction: the workflow, its steps, what waits for what, and its callbacks."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from pgjobs.core.errors import EnqueueError
from pgjobs.db.adapters.awaitable import Enqueueing
from pgjobs.db.adapters.detect import runner_of
from pgjobs.effects.own_transaction import refuse_autocommit, refuse_autocommit_async
from pgjobs.hooks.kinds import enqueue_hooks
from pgjobs.jobs.enqueueable import others
from pgjobs.jobs.tracing import followed, followed_async, send
from pgjobs.payload.encoder import described
from pgjobs.workflows.handle import ExistingWorkflow, WorkflowHandle
from pgjobs.workflows.rows import EncodedWorkflow, batches, callback_values, encode_workflow
from pgjobs.workflows.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pgjobs.db.adapters.detect import Run, RunAsync
    from pgjobs.db.enqueue_columns import EnqueueColumns

_AUTOCOMMIT = ("enqueue() of a workflow", "would let workers see half of it")
Statements: TypeAlias = "Generator[tuple[str, EnqueueColumns | None, Mapping[str, Any]], list[int], WorkflowHandle]"


def enqueue_workflow(
    conn: Any, flow: Workflow, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> WorkflowHandle | Coroutine[Any, Any, WorkflowHandle]:
    """Enqueue all of a workflow, in the transaction of `conn`. See `enqueue`.

    Raises:
        EnqueueError: a step is refused, or `conn` would commit each statement by itself.
        UsageError: the graph cannot be.

    """
    if args or kwargs:
        raise EnqueueError(f"enqueue(conn, {flow.name!r}, …): a workflow takes no arguments, its steps have theirs.")
    if flow.part is not None:
        raise EnqueueError(f"the workflow {flow.name!r} is a part of {flow.part.name!r}: enqueue that one.")
    run, run_async = runner_of(conn)
    if enqueue_hooks.hooks:
        return _enqueue_followed(conn, run, run_async, flow)
    encoded = encode_workflow(flow)
    if run_async is not None:
        return Enqueueing(_insert_async(conn, run_async, encoded), conn, "enqueue", encoded.task)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return _insert(conn, run, encoded)


def _enqueue_followed(
    conn: Any, run: Run | None, run_async: RunAsync | None, flow: Workflow
) -> WorkflowHandle | Coroutine[Any, Any, WorkflowHandle]:
    """Do the same where hooks are registered. All steps are followed from one span."""
    sending = send(_common_queue(flow), many=True)
    try:
        with sending.current():
            encoded = encode_workflow(flow)
    except BaseException as error:
        sending.end((), error)
        raise
    if run_async is not None:
        writing = partial(_insert_async, conn, run_async, encoded)
        return Enqueueing(followed_async(sending, writing, _ids_of), conn, "enqueue", encoded.task)
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return followed(sending, partial(_insert, conn, run, encoded), _ids_of)


def _ids_of(handle: WorkflowHandle) -> Sequence[int]:
    return handle.all_jobs()


def _common_queue(flow: Workflow) -> str | None:
    """Return the queue of all steps; None: they have several. A step that is refused is named when it is encoded."""
    with suppress(EnqueueError):
        queues = {described(node.function)[1].queue for node in flow.nodes}
        return queues.pop() if len(queues) == 1 else None
    return None


def _insert(conn: Any, run: Run, encoded: EncodedWorkflow) -> WorkflowHandle:
    if not _is_autocommit(conn):  # of psycopg: all is one transaction then
        refuse_autocommit(conn, *_AUTOCOMMIT)
    statements = _statements(encoded)
    with _in_transaction(conn):
        try:
            asked = next(statements)
            while True:
                asked = statements.send(run(*asked))
        except StopIteration as end:
            handle: WorkflowHandle = end.value
            return handle


async def _insert_async(conn: Any, run: RunAsync, encoded: EncodedWorkflow) -> WorkflowHandle:
    if not _is_autocommit(conn):
        await refuse_autocommit_async(conn, *_AUTOCOMMIT)
    statements = _statements(encoded)
    async with _in_async_transaction(conn):
        asked = next(statements)
        while True:
            answer = await run(*asked)
            try:
                asked = statements.send(answer)
            except StopIteration as end:
                handle: WorkflowHandle = end.value
                return handle


def _statements(encoded: EncodedWorkflow) -> Statements:
    """Yield the statements in their order, and take what each returns."""
    flow, plan = encoded.flow, encoded.plan
    values = {"name": flow.name, "key": flow.key, "steps": plan.jobs, "active": plan.roots}
    (workflow,) = yield "add_workflow", None, values
    if workflow < 0:
        return ExistingWorkflow(-workflow)
    ids = (yield "take_job_ids", None, {"count": plan.jobs}) if plan.jobs else []
    for columns, values in batches(encoded, workflow, ids):
        yield "add_steps", columns, values
    for callback in encoded.callbacks:
        columns, values = callback_values(callback, workflow)
        yield "add_callback", columns, values
    if not plan.jobs:  # no step ever ends
        yield "end_empty_workflow", None, {"workflow": workflow}
    return WorkflowHandle(
        workflow, flow, {node.index: [ids[job] for job in plan.jobs_of(node.index)] for node in flow.nodes}
    )


def _is_autocommit(conn: Any) -> bool:
    return getattr(conn, "autocommit", False) is True and callable(getattr(conn, "transaction", None))


@contextmanager
def _in_transaction(conn: Any) -> Iterator[None]:
    """On a connection of psycopg in autocommit mode, make it one transaction."""
    if _is_autocommit(conn):
        with conn.transaction():
            yield
    else:
        yield


@asynccontextmanager
async def _in_async_transaction(conn: Any) -> AsyncIterator[None]:
    if _is_autocommit(conn):
        async with conn.transaction():
            yield
    else:
        yield


others[Workflow] = enqueue_workflow
