"""Which jobs an operation is for, how they are changed in batches, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.db.adapters.operations import operation
from pgjobs.db.query import JOBS_PER_TRANSACTION, AnyJobs, check_ids, fetch_dicts, task_patterns

if TYPE_CHECKING:
    import psycopg

STATUSES = ("waiting", "queued", "running", "completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job that was not changed, and why, in one sentence."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a change. Ids are in the order in which they were given.

    `done`: ids of the jobs that were changed. `refused`: the other jobs that were given by id. `asked`: ids of running
    jobs that were asked to end; their workers do the rest.
    """

    done: tuple[int, ...]
    refused: tuple[Refusal, ...] = ()
    asked: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class JobSelection:
    """A filter of jobs, or of dead letters; without any condition it selects all of them.

    `queue`: only jobs of this queue; of dead letters also a glob, such as `mail-*`. `task`: a task
    (`module:qualname`), a module, or a glob such as `shop.*`.
    `statuses`: only jobs in one of these (None: all statuses that the operation can change). Dead letters have no
    status: operations on them ignore it.

    Raises:
        UsageError: a status does not exist.

    """

    queue: str | None = None
    task: str | None = None
    statuses: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for status in self.statuses or ():
            if status not in STATUSES:
                raise unknown_status(status)


def unknown_status(status: object) -> UsageError:
    """Return the error for a status that does not exist."""
    return UsageError(f"status={shorten_repr(status)}: give one of {', '.join(STATUSES)}.")


@operation
def count_jobs(conn: psycopg.Connection, jobs: AnyJobs | JobSelection) -> int:
    """Count the jobs of a selection; ids are counted once each, whether there are such jobs or not.

    Raises:
        UsageError: an id cannot be one.

    """
    if isinstance(jobs, JobSelection):
        return _found(conn, jobs, jobs.statuses or STATUSES)[0]
    return len(check_ids(jobs))


def change_jobs(
    conn: psycopg.Connection,
    jobs: AnyJobs | JobSelection,
    statuses: tuple[str, ...],
    change: Callable[[list[int]], Change],
    *,
    batch: int = JOBS_PER_TRANSACTION,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Call `change` with the ids of the jobs: given ones at once, those of a selection in batches.

    A selection is what it matches now: jobs enqueued later are not in it. Each batch is a transaction of its own,
    unless the caller has one. `statuses`: those of a selection that names none. Jobs of a selection that cannot be
    changed are not listed as refused. `on_progress`: called after each batch, with the number of jobs changed so far.
    """
    if not isinstance(jobs, JobSelection):
        return change(check_ids(jobs))
    statuses = jobs.statuses or statuses
    done: list[int] = []
    asked: list[int] = []
    _, until = _found(conn, jobs, statuses)
    after = -1
    while ids := _pick(conn, jobs, statuses, after, until, batch):
        after = ids[-1]
        changed = change(ids)
        done += changed.done
        asked += changed.asked
        if on_progress:
            on_progress(len(done) + len(asked))
    return Change(tuple(done), (), tuple(asked))


def result_of(
    verb: Literal["cancel", "retry", "set"],
    wanted: list[int],
    done: set[int],
    states: dict[int, tuple[str, bool]],
    *,
    asked: frozenset[int] | set[int] = frozenset(),
    reasons: dict[int, str] | None = None,
) -> Change:
    """Put together what came of a change. `states`: as of `job_states`; `reasons`: of refusals that have their own."""
    left = [each for each in wanted if each not in done and each not in asked]
    return Change(
        tuple(each for each in wanted if each in done),
        tuple(Refusal(each, (reasons or {}).get(each) or why_not(verb, each, states.get(each))) for each in left),
        tuple(each for each in wanted if each in asked),
    )


def why_not(verb: Literal["cancel", "retry", "set"], id: int, state: tuple[str, bool] | None) -> str:
    """Return why a job was not changed. `state`: its status now, and whether it is due; None: there is no such job."""
    if state is None:
        return no_such_job(id)
    match verb, *state:
        case "set", "running", _:
            return f"Job {id} is running: only jobs that have not started can be changed."
        case "set", "queued" | "waiting", _:
            return f"Job {id} is locked by another transaction: try again."
        case "set", status, _:
            return f"Job {id} is {status}: `pgjobs jobs retry {id}` queues it again."
        case "retry", "queued", True:
            return f"Job {id} is queued and due: a worker takes it as soon as it can."
        case "retry", "running", _:
            return f"Job {id} is running: wait for its end."
        case "retry", "waiting", _:
            return f"Job {id} waits for other jobs."
        case "cancel", "completed" | "failed" | "cancelled" as status, _:
            return f"Job {id} is already {status}: there is nothing to cancel."
    return f"Job {id} has just changed (now {state[0]}): look at it, and try again."


def no_such_job(id: int) -> str:
    """Return the message for an id without a job."""
    return f"There is no job {id}: it never existed, or it is no longer kept."


def _found(conn: psycopg.Connection, selection: JobSelection, statuses: tuple[str, ...]) -> tuple[int, int]:
    """Return how many jobs a selection matches, and the highest id of them."""
    tasks = task_patterns(selection.task)
    row = fetch_dicts(conn, "count_jobs", statuses=list(statuses), queue=selection.queue, tasks=tasks)[0]
    return row["jobs"], row["until"]


def _pick(
    conn: psycopg.Connection, selection: JobSelection, statuses: tuple[str, ...], after: int, until: int, batch: int
) -> list[int]:
    rows = fetch_dicts(
        conn,
        "select_jobs",
        statuses=list(statuses),
        queue=selection.queue,
        tasks=task_patterns(selection.task),
        after=after,
        until=until,
        batch=batch,
    )
    return [row["id"] for row in rows]
