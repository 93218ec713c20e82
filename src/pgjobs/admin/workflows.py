"""Workflows: list, show, cancel, retry, pause, resume and signal them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pgjobs.admin.cancel import CANCEL_REASON, cancel_jobs
from pgjobs.admin.job_actions import retry_jobs
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_int
from pgjobs.db.adapters.operations import operation
from pgjobs.db.doorbell import notify_queues
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import (
    MAX_ID,
    check_limit,
    chunks,
    ended_at,
    fetch,
    fetch_dicts,
    job_states,
    like,
    local_settings,
    settled,
)
from pgjobs.db.workflow_ends import check_workflow
from pgjobs.flow.workflow_retry import EndedStep, may_run_again, steps_to_retry
from pgjobs.flow.workflow_state import WorkflowStatus
from pgjobs.workflows.handle import WorkflowHandle
from pgjobs.workflows.waiting import signal

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

STATUSES = ("running", "stuck", "completed", "failed", "cancelled")
AT_ONCE = 1_000  # steps that are changed by one statement
ROUNDS = 20  # steps may be released, or added, while others are cancelled


@dataclass(frozen=True)
class WorkflowRow:
    """A workflow as it is listed. `steps` to `skipped`: how many there are, and how many have ended how.

    `active`: steps that may run, run, or wait for their turn. `status`: running, stuck (nothing can run before
    a failed step is retried), completed, failed or cancelled.
    """

    id: int
    name: str
    key: str | None
    status: WorkflowStatus
    steps: int
    active: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    created_at: datetime
    ended_at: datetime | None
    paused_at: datetime | None
    cancelled_at: datetime | None


@dataclass(frozen=True)
class WorkflowNode:
    """Steps that were added in one go, by `add` or `map`. `needs`: the ids of the nodes that they wait for.

    `waiting` to `skipped`: how many of its steps are how. `dead`: ids of dead letters, 10 at most. `seconds`: how long
    the slowest has run, in its last attempt; None: none has.
    """

    id: int
    name: str
    kind: str | None
    needs: list[int]
    if_failed: str
    steps: int
    waiting: int
    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    dead: list[int]
    seconds: float | None


@dataclass(frozen=True)
class WorkflowDetail(WorkflowRow):
    """All that is known about a workflow. `path`: the ids of the nodes of its critical path, see `critical_path`."""

    cancel_reason: str | None
    nodes: list[WorkflowNode]
    path: list[int]


AnyWorkflow: TypeAlias = "int | Any"


def check_workflow_id(workflow: object) -> int:
    """Return the id of a workflow that is given by it, by its handle or by its row.

    Raises:
        UsageError: it is not an id, nor has one.

    """
    kind = type(workflow).__name__
    own = kind in ("WorkflowHandle", "ExistingWorkflow", "WorkflowRow", "WorkflowDetail", "RunningWorkflow")
    number = as_int(getattr(workflow, "id", None) if own else workflow)
    if number is None or not 0 <= number <= MAX_ID:
        raise UsageError(f"{shorten_repr(workflow)} is not the id of a workflow: give that, or what enqueue returned.")
    return number


@operation
def list_workflows(
    conn: psycopg.Connection,
    *,
    status: str | None = None,
    name: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[WorkflowRow]:
    """List workflows, the newest first.

    `status`: running, stuck, completed, failed or cancelled. `name`: a name, or a glob such as `import-*`. `limit`: the
    number of workflows. `before`: only ids below it, for the next page.

    Raises:
        UsageError: there is no such status, or the limit is not a number of rows.

    """
    if status is not None and status not in STATUSES:
        raise UsageError(f"status={shorten_repr(status)}: give one of {', '.join(STATUSES)}.")
    return fetch(
        conn,
        "list_workflows",
        WorkflowRow,
        status=status,
        called=None if name is None else like(name),
        limit=check_limit(limit),
        before=before if before is None else min(before, MAX_ID),
    )


@operation
def show_workflow(conn: psycopg.Connection, workflow: AnyWorkflow) -> WorkflowDetail:
    """Return all that is known about a workflow: its nodes, how many steps of each are how, and the critical path.

    Raises:
        NotFoundError: there is no such workflow.
        UsageError: the id cannot be one.

    """
    number = check_workflow_id(workflow)
    rows = fetch_dicts(conn, "show_workflow", workflow=number)
    if not rows:
        raise NotFoundError(f"There is no workflow {number}: it never existed, or it is no longer kept.")
    steps = [row["job_id"] for row in fetch_dicts(conn, "ended_steps", workflow=number)]
    with local_settings(conn, LOOK_UPS):
        times = ended_at(conn, steps) if steps else []
    nodes = [WorkflowNode(**row) for row in fetch_dicts(conn, "workflow_nodes", workflow=number, ended_at=times)]
    return WorkflowDetail(**rows[0], nodes=nodes, path=critical_path(nodes))


def critical_path(nodes: list[WorkflowNode]) -> list[int]:
    """Return the ids of the nodes that say how long the workflow takes at least: the slowest way through the graph.

    A node that has not run counts as nothing, so while it runs this is the slowest way so far.
    """
    longest: dict[int, float] = {}
    before: dict[int, int | None] = {}
    for node in sorted(nodes, key=lambda node: node.id):
        known = [needed for needed in node.needs if needed in longest]
        last = max(known, key=longest.__getitem__, default=None)
        longest[node.id] = (0.0 if last is None else longest[last]) + (node.seconds or 0.0)
        before[node.id] = last
    at = max(longest, key=longest.__getitem__, default=None)
    path: list[int] = []
    while at is not None:
        path.append(at)
        at = before[at]
    return path[::-1]


@operation
def cancel_workflow(
    conn: psycopg.Connection, workflow: AnyWorkflow, *, reason: str = CANCEL_REASON, force: bool = False
) -> WorkflowRow:
    """Cancel all steps of a workflow that have not ended; it calls nothing back. Running steps are asked to end.

    `reason`, `force`: as for `cancel_jobs`.

    Raises:
        NotFoundError: there is no such workflow, or it has ended.
        UsageError: the id cannot be one.

    """
    number = check_workflow_id(workflow)
    _mark(conn, "mark_cancelled", number, reason=reason)
    for _ in range(ROUNDS):
        ids = [row["id"] for row in fetch_dicts(conn, "held_steps", workflow=number)]
        asked: set[int] = set()
        for some in chunks(ids, AT_ONCE):
            asked |= {*cancel_jobs(conn, list(some), reason=reason, force=force).asked}
        if not set(ids) - asked:
            break
    check_workflow(conn, number)
    return _row(conn, number)


@operation
def pause_workflow(conn: psycopg.Connection, workflow: AnyWorkflow) -> WorkflowRow:
    """Start no more steps of a workflow. Those that run finish their attempts; one that waits for a retry is held, too.

    What is to run again after an attempt that ends later is held when workers look at the workflow the next time: at
    the next end of one of its steps, or within a minute. A retry that is due before that starts.

    Raises:
        NotFoundError: there is no such workflow, or it has ended.
        UsageError: the id cannot be one.

    """
    number = check_workflow_id(workflow)
    _mark(conn, "mark_paused", number)
    ids = [row["id"] for row in fetch_dicts(conn, "held_steps", workflow=number)]
    for some in chunks(ids, AT_ONCE):
        settled(conn, "hold_queued_steps", ids=list(some))
    return _row(conn, number)


@operation
def resume_workflow(conn: psycopg.Connection, workflow: AnyWorkflow) -> WorkflowRow:
    """Start the steps of a paused workflow again.

    Raises:
        NotFoundError: there is no such workflow, or it has ended.
        UsageError: the id cannot be one.

    """
    number = check_workflow_id(workflow)
    _mark(conn, "mark_resumed", number)
    ids = [row["id"] for row in fetch_dicts(conn, "held_steps", workflow=number)]
    for some in chunks(ids, AT_ONCE):
        rows = settled(conn, "let_go_steps", ids=list(some))
        notify_queues(conn, {row["queue"] for row in rows})
    return _row(conn, number)


@operation
def retry_workflow(
    conn: psycopg.Connection, workflow: AnyWorkflow, *, what: Literal["failed", "after", "all"] = "failed"
) -> WorkflowRow:
    """Run steps of a workflow again, with a fresh budget of attempts.

    `what`: "failed": those that failed or were cancelled. "after": also all that waited for one of these, whatever they
    did. "all": every step; what steps had added while they ran goes first, because they add it again. Steps that run
    are left alone, and so are those that ended so long ago that history has dropped them.

    Raises:
        NotFoundError: there is no such workflow.
        UsageError: the id cannot be one, or there is no such choice.

    """
    if what not in ("failed", "after", "all"):
        raise UsageError(f"what={shorten_repr(what)}: give failed, after or all.")
    number = check_workflow_id(workflow)
    with conn.transaction():
        if not fetch_dicts(conn, "lock_workflow", workflow=number):
            raise NotFoundError(f"There is no workflow {number}: it never existed, or it is no longer kept.")
        again, gone, waiting, edges = steps_to_retry(steps := _steps(conn, number, what), what)
        if gone:  # first they are no steps any longer: else their ends would release what is to wait again
            fetch_dicts(conn, "forget_steps", ids=sorted(gone))
            cancel_jobs(conn, [step.job_id for step in steps if step.job_id in gone and step.status is None])
        fetch_dicts(conn, "wait_again", needs=[need for _, need in edges], jobs=[job for job, _ in edges])
        settled(conn, "count_needs", ids=waiting)
        for some in chunks(again, AT_ONCE):
            retry_jobs(conn, list(some))
    check_workflow(conn, number)
    return _row(conn, number)


@operation
def signal_workflow(conn: psycopg.Connection, workflow: AnyWorkflow, name: str, payload: Any = None) -> bool:
    """Send a signal to all steps of a workflow, as `signal` does. Returns whether it is the first of this name.

    Raises:
        NotFoundError: there is no such workflow.
        UsageError: the name, the payload or the id cannot be used.

    """
    number = check_workflow_id(workflow)
    _row(conn, number)
    return signal(conn, WorkflowHandle(number), name, payload)


def _steps(conn: psycopg.Connection, workflow: int, what: str) -> list[EndedStep]:
    """Return all steps, and of those that may run again whether their jobs are still there."""
    steps = [EndedStep(**row) for row in fetch_dicts(conn, "all_steps", workflow=workflow)]
    asked = [step.job_id for step in steps if not step.is_there and may_run_again(step, what)]
    there: set[int] = set()
    with local_settings(conn, LOOK_UPS):
        for some in chunks(asked, AT_ONCE):
            there |= job_states(conn, list(some)).keys()
    return [step._replace(is_there=step.is_there or step.job_id in there) for step in steps]


def _mark(conn: psycopg.Connection, name: str, workflow: int, **values: object) -> None:
    if not fetch_dicts(conn, name, workflow=workflow, **values):
        raise NotFoundError(f"There is no workflow {workflow} that has not ended.")


def _row(conn: psycopg.Connection, workflow: int) -> WorkflowRow:
    rows = fetch(conn, "find_workflow", WorkflowRow, workflow=workflow)
    if not rows:
        raise NotFoundError(f"There is no workflow {workflow}: it never existed, or it is no longer kept.")
    return rows[0]
