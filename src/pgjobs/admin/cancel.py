"""Cancel jobs, with those that wait for them, and wait until running ones have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pgjobs.admin.changes import Change, JobSelection, change_jobs, result_of
from pgjobs.core.validate import Seconds, check_seconds
from pgjobs.db.adapters.operations import operation
from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.encoding import encoding_of
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import (
    JOBS_PER_TRANSACTION,
    AnyJobs,
    check_ids,
    chunks,
    fetch_dicts,
    job_states,
    local_settings,
    settled,
)
from pgjobs.db.statements import cancel_channel
from pgjobs.db.workflow_counts import tell_workflows
from pgjobs.db.workflow_ends import end_workflows

if TYPE_CHECKING:
    import psycopg

CANCEL_REASON = "cancelled by an operator"
CANCELLABLE = ("waiting", "queued", "running")
MAX_ROUNDS = 5  # a job may start, or be queued again, between two statements
POLL_EVERY = 0.1  # seconds


@operation
def cancel_jobs(
    conn: psycopg.Connection,
    jobs: AnyJobs | JobSelection,
    *,
    reason: str = CANCEL_REASON,
    force: bool = False,
    cascade: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Cancel jobs, given by id, by handle or by a selection. Jobs that have ended are refused.

    Queued and waiting jobs are cancelled at once. Running ones are asked to end, and their workers act within a second:
    a coroutine is cancelled, the process of a process job is killed, and a job in a thread sees
    `current_job().cancelled`. They end as cancelled and are not retried, whatever happens to their worker; a job that
    returns nevertheless has completed.

    `reason`: becomes the job's `error`. `force`: raise `JobCancelled` in jobs that run in a thread. `cascade`: also
    cancel the jobs that wait for one of these, and so on.

    Raises:
        UsageError: an id cannot be one.

    """
    return change_jobs(
        conn,
        jobs,
        CANCELLABLE,
        lambda ids: _Cancellation(conn, reason, force=force, cascade=cascade).run(ids),
        on_progress=on_progress,
    )


@operation
def wait_for_exit(conn: psycopg.Connection, jobs: AnyJobs, seconds: Seconds) -> tuple[int, ...]:
    """Wait until none of these jobs is running; return the ids of those that still run after `seconds`.

    Call it outside of a transaction: workers see a request to cancel only when it is committed.

    Raises:
        UsageError: an id cannot be one.

    """
    left = check_ids(jobs)
    deadline = time.monotonic() + check_seconds("seconds", seconds)
    while True:
        states = job_states(conn, left)
        left = [each for each in left if states.get(each, ("", False))[0] == "running"]
        if not left or time.monotonic() >= deadline:
            return tuple(left)
        time.sleep(POLL_EVERY)


class _Cancellation:
    """One call of `cancel_jobs`. `done`: ids of the cancelled jobs. `asked`: ids of running ones asked to end."""

    def __init__(self, conn: psycopg.Connection, reason: str, *, force: bool, cascade: bool) -> None:
        self._conn = conn
        self._reason = encoding_of(conn).stored(reason)
        self._force = force
        self._cascade = cascade
        self.done: set[int] = set()
        self.asked: set[int] = set()
        self._cancelled_rows: list[dict[str, Any]] = []
        self._steps: set[int] = set()  # of workflows, that have ended

    def run(self, ids: list[int]) -> Change:
        """Cancel these jobs, and with `cascade` those that wait for them."""
        wanted = list(ids)
        # With a cascade it is one transaction: between two, the jobs that wait for a cancelled one could be forgotten.
        with self._conn.transaction() if self._cascade else nullcontext():
            self._cancel(wanted)
            if self._cascade:
                wanted += self._cancel_dependents(wanted)
        if self._steps:
            self._end_workflows()
        states = job_states(self._conn, self._left(wanted))
        return result_of("cancel", wanted, self.done, states, asked=self.asked)

    def _end_workflows(self) -> None:
        from psycopg.pq import TransactionStatus

        end_workflows(self._conn, self._steps, patient=True)
        # What others end meanwhile is not seen in the transaction of a caller.
        if self._conn.info.transaction_status == TransactionStatus.INTRANS:
            with self._conn.cursor() as cursor:
                tell_workflows(cursor, self._steps)

    def _left(self, ids: Sequence[int]) -> list[int]:
        return [each for each in ids if each not in self.done and each not in self.asked]

    def _cancel(self, ids: list[int]) -> None:
        for some in chunks(ids, JOBS_PER_TRANSACTION):
            self._cancel_some(list(some))

    def _cancel_some(self, ids: list[int]) -> None:
        for _ in range(MAX_ROUNDS):
            if not ids:
                return
            ended = settled(self._conn, "cancel_jobs", then=self._release, ids=ids, reason=self._reason)
            self.done.update(row["id"] for row in ended)
            self._cancelled_rows += ended
            ids = self._left(ids)
            asked = self._ask(ids)
            self.asked.update(row["id"] for row in asked)
            ids = self._left(ids)
            states = job_states(self._conn, ids)
            ids = [each for each in ids if states.get(each, ("", False))[0] in CANCELLABLE]

    def _ask(self, ids: list[int]) -> list[dict[str, Any]]:
        """Ask running jobs to end."""
        return settled(
            self._conn, "request_cancel", ids=ids, reason=self._reason, force=self._force, channel=cancel_channel()
        )

    def _release(self, rows: list[dict[str, Any]]) -> None:
        """Release the jobs that wait for these, in the transaction in which these end. A cascade does it at its end."""
        if not self._cascade:
            self._release_dependents(row for row in rows if row["awaited"])

    def _release_dependents(self, rows: Iterable[dict[str, Any]]) -> None:
        from psycopg.rows import tuple_row

        ended_jobs = [EndedJob(row["id"], awaited=True, was_active=row["was_active"]) for row in rows]
        if ended_jobs:
            with self._conn.cursor(row_factory=tuple_row) as cursor:
                self._steps |= release_dependents(cursor, ended_jobs, completed=False)

    def _cancel_dependents(self, ids: list[int]) -> list[int]:
        """Cancel the jobs that wait for cancelled ones, level by level, and return their ids."""
        seen = set(ids)
        level = self._cancelled(ids)
        added: list[int] = []
        while level:
            waiting: list[int] = []
            for some in chunks(level, JOBS_PER_TRANSACTION):
                with local_settings(self._conn, LOOK_UPS):
                    rows = fetch_dicts(self._conn, "dependents", ids=list(some))
                new = [row["id"] for row in rows if row["id"] not in seen]
                seen.update(new)
                waiting += new
            self._cancel(waiting)
            level = self._cancelled(waiting)
            added += level
        # Jobs that still wait for them were cancelled themselves, or could not be.
        for rows_of_some in chunks(self._cancelled_rows, JOBS_PER_TRANSACTION):
            self._release_dependents(rows_of_some)
        return added

    def _cancelled(self, ids: list[int]) -> list[int]:
        return [each for each in ids if each in self.done or each in self.asked]
