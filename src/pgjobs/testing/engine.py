"""Claims, runs and acknowledges jobs in a test's transaction: the workers' own code, one job after another.

It is one thread with one slot for each queue. Claims and acknowledgements are those of `worker/claim` and
`worker/acknowledge`, on the connection of the test.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, cast

from pgjobs.core.errors import PayloadError
from pgjobs.core.version import VERSION
from pgjobs.db.statements import statement
from pgjobs.jobs.context import reporting_to
from pgjobs.jobs.outcome import (
    CANCELLED_ON_REQUEST,
    Cancelled,
    Completed,
    Divided,
    Failed,
    Outcome,
    Parked,
    Retried,
    Several,
    Snoozed,
    reason_of,
)
from pgjobs.jobs.retry import after_loss
from pgjobs.testing.journal import Journal
from pgjobs.testing.outcomes import Ran
from pgjobs.testing.signs import TestTransactionEndedError, hint_of_unseen_rows, is_from_outside
from pgjobs.worker.acknowledge.acknowledger import Acknowledger
from pgjobs.worker.acknowledge.breaker_recorder import BreakerRecorder
from pgjobs.worker.acknowledge.outcome_hooks import OutcomeHooks
from pgjobs.worker.claim.claimer import Claimer
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.executors.invoke import open_payload, outcome_of, refused
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import Ended, LocalQueue, Outbox
from pgjobs.worker.runtime.own_connections import lend as lend_connection
from pgjobs.worker.runtime.settle import array
from pgjobs.workflows.connection import lend as lend_steps
from pgjobs.workflows.serve import serve_steps

if TYPE_CHECKING:
    from pgjobs.testing.faults import Faults
    from pgjobs.testing.link import Link
    from pgjobs.testing.places import Place
    from pgjobs.testing.rows import FoundJob

CLAIMS = 3
"""Where jobs wait for turns: the first claim asks what time it is, and the second may have to add keys to be locked."""
_NAMES: dict[type, str] = {Retried: "retried", Snoozed: "snoozed", Parked: "parked"}
_ENDS = ("completed", "failed", "cancelled")
_NOT_DONE = Retried | Failed | Snoozed | Cancelled | Divided  # what the job wrote is undone


class _Recorder(BreakerRecorder):
    """Writes the calls of breakers when it is asked to, and not in a thread."""

    noted = False

    def start(self) -> None:
        self.noted = True


class Engine:
    """What a test has of a worker, while it runs jobs. `link`: its connection; `place`: where jobs run."""

    def __init__(self, link: Link, place: Place, faults: Faults) -> None:
        self._link = link
        self._server = cast("Any", link)  # what a worker has a ReconnectingConnection for
        self._place = place
        self._faults = faults
        self._outbox: Outbox = SimpleQueue()
        self._queues: dict[str, LocalQueue] = {}
        self._claimers: dict[str, Claimer] = {}
        self._names: list[str] = []
        self._journal = Journal(link.rows)
        who = f"a test ({socket.gethostname()}, {os.getpid()})"
        self._breakers = _Recorder(lambda stop: self._server, who, (), self._outbox)
        self._worker_id = self._register()
        host = socket.gethostname()
        self._acknowledger = Acknowledger(
            self._outbox, self._server, self._worker_id, host, 1.0, self._names, self._breakers
        )

    def close(self) -> None:
        """Remove the worker's row, and what the queues have of the process."""
        for queue in self._queues.values():
            queue.close()
        self._link.cursor.execute(statement("remove_worker"), {"worker_ids": [self._worker_id]})

    def _register(self) -> int:
        values = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": json.dumps({}),
            "version": VERSION,
            "rescue_after": None,
            "signs": False,
            "pooled": False,
            "clock": time.time(),
        }
        return int(self._link.rows("register_worker", **values)[0]["id"])

    # -- Claims --------------------------------------------------------------------------------------------------------

    def claim(self, queue: str) -> list[ClaimedJob]:
        """Claim what one slot of a queue would run now: a job, a batch, or nothing."""
        local_queue = self._local_queue(queue)
        claimer = self._claimers.get(queue)
        if claimer is None:
            claimer = self._claimers[queue] = Claimer(local_queue, self._outbox, self._worker_id)
        claimer.lanes.next_check = 0.0  # nothing of before counts: the test has done anything since then
        claimer.lanes.runs.clear()
        for _ in range(CLAIMS):
            claimer.cursor.look_everywhere()
            claimer.lanes.wake_now(check_queue=True)
            claimed = claimer.claim(self._server, 1, rung=False)
            if claimed and local_queue.claim_stats.has_flow_control:
                self._link.run_as_is("hold_tokens")
            if claimed or not claimer.lanes.active(time.monotonic()):
                break
        return list(local_queue.inbox.take_all())

    def claim_this(self, found: FoundJob) -> list[ClaimedJob]:
        """Claim one job, whatever else is due in its queue."""
        if not found.takes_turns:
            values = {
                "priorities": array([found.priority]),
                "run_ats": [found.run_at],
                "ids": array([found.id]),
                "untils": [found.run_at],
                "queue": found.queue,
                "demand": 1,
                "worker_id": self._worker_id,
                "counted_queue": found.queue,  # a limit of the queue is not asked
            }
            local_queue = self._local_queue(found.queue)
            rows = self._link.cursor.execute(statement("claim"), values).fetchall()
            return local_queue.record_claimed(Intake(local_queue, self._outbox).rows_to_jobs(rows))
        aside = [row["id"] for row in self._link.rows("set_others_aside", queue=found.queue, id=found.id)]
        try:
            return self.claim(found.queue)
        finally:
            if aside:
                self._link.rows("bring_others_back", ids=aside)

    def _local_queue(self, name: str) -> LocalQueue:
        found = self._queues.get(name)
        if found is None:
            found = self._queues[name] = LocalQueue(name, 1, 0)
            found.in_haste = True  # batches do not wait for more jobs
            self._names.append(name)
        return found

    # -- Runs ----------------------------------------------------------------------------------------------------------

    def run(self, jobs: Collection[ClaimedJob]) -> list[Ran[Any]]:
        """Run claimed jobs, and write what comes of them; also what a batch leads to that runs again in parts."""
        ran: list[Ran[Any]] = []
        left = [*jobs]
        while left:
            for job in left:
                ran += self.settle(self._run(job))
            left = [job for queue in self._queues.values() for job in queue.inbox.take_all()]
        return ran

    def _run(self, job: ClaimedJob) -> Ended:
        began = time.monotonic()
        try:
            call = open_payload(job)
        except PayloadError as error:
            return job, refused(job, error), None
        asked = self._faults.take_error(job.task)
        if asked is not None:
            return job, outcome_of(job, asked, call.callable), 0.0
        crash = self._faults.take_crash(job.task)
        if crash == "before_effects":
            return job, _lost(job, crash), None
        self._journal.begin()
        block = self._link.driver.block()
        undo = True
        try:
            with self._served():
                outcome = self._place.call(job, call)
            undo = _is_undone(outcome)
        finally:
            try:
                block.leave(undo=undo)
            except Exception as error:
                raise TestTransactionEndedError(job.task) from error
        if job.exception is not None and is_from_outside(job.exception):
            raise job.exception
        if undo:
            self._journal.write_again()
            job.completing = False  # what it had completed is undone, too
            hint_of_unseen_rows(job.exception)
        if crash == "after_effects":
            outcome = _lost(job, crash)
        return job, outcome, time.monotonic() - began

    @contextmanager
    def _served(self) -> Iterator[None]:
        """Have what jobs do besides their work done on this connection."""
        serve_steps()
        with ExitStack() as stack:
            stack.enter_context(reporting_to(self._journal))
            stack.enter_context(lend_steps(self._journal.rows))
            stack.enter_context(lend_connection(self._place))
            yield

    # -- Acknowledgements ----------------------------------------------------------------------------------------------

    def settle(self, *ended: Ended) -> list[Ran[Any]]:
        """Write outcomes, also of what claims have ended without a run, and return what came of the jobs."""
        batch = [*self._ended_by_claims(), *ended]
        if not batch:
            return []
        exceptions = {job.id: job.exception or whole.exception for whole, _, _ in batch for job in whole.members}
        outcomes = {job.id: outcome for job, outcome in _each(batch)}
        self._acknowledger.acknowledge(batch)
        self._acknowledger.hooks.stop()  # it waits until they were called
        self._acknowledger.hooks = OutcomeHooks()
        if self._breakers.noted:
            self._breakers.noted = False
            self._breakers.flush(self._server)
        return self._read(batch, outcomes, exceptions)

    def _ended_by_claims(self) -> list[Ended]:
        found: list[Ended] = []
        try:
            while (ended := self._outbox.get_nowait()) is not None:
                found.append(ended)
        except Empty:
            pass
        return found

    def _read(
        self, batch: list[Ended], outcomes: dict[int, Outcome], exceptions: dict[int, BaseException | None]
    ) -> list[Ran[Any]]:
        """Return what came of these jobs, by their rows."""
        jobs = [job for each, _, _ in batch for job in each.members]
        rows = {row["id"]: row for row in self._link.rows("jobs_of_test", ids=[job.id for job in jobs], queue=None)}
        ran: list[Ran[Any]] = []
        for job in jobs:
            outcome, row = outcomes[job.id], rows.get(job.id)
            if isinstance(outcome, Divided):
                continue  # it runs again, in the same attempt
            status = "completed" if row is None else row["status"]  # its queue keeps nothing
            name = status if status in _ENDS else _NAMES.get(type(outcome), "released")
            if isinstance(outcome, Completed) and name not in _ENDS:
                name = "retried"  # it has called complete(), and has not committed that
            said: str | None = None
            if name not in ("completed", "released"):
                said = (None if row is None else row["error"]) or reason_of(outcome)
            due_in = row["seconds"] if row is not None and name not in _ENDS else None
            may_keep = job.completing or (isinstance(outcome, Completed) and outcome.result is not None)
            result = self._result(job.id) if name == "completed" and may_keep else None
            ran.append(Ran(job.id, job.task, name, job.attempt, result, said, exceptions.get(job.id), due_in))
        return ran

    def _result(self, job_id: int) -> Any:
        """Return what was kept of a job, after its way through the table."""
        rows = self._link.rows("results_of", ids=[job_id])
        if not rows:
            return None
        from pgjobs.job_results.encode import decode  # imported lazily: few jobs keep one

        row = rows[0]
        return decode(job_id, bytes(row["value"]), row["is_json"], row["signature"])


def _lost(job: ClaimedJob, point: str) -> Outcome:
    """Return what a supervisor writes of a job whose worker died."""
    return after_loss(f"its worker process died while it ran: crash_at({point!r})", *job.budget(), delay=0.0)


def _is_undone(outcome: Outcome) -> bool:
    """Return whether what a job has written is undone: the transaction that it had in a worker is not committed."""
    if isinstance(outcome, Several):
        return not any(isinstance(each, Completed) for each in outcome.outcomes)
    return isinstance(outcome, _NOT_DONE)


def _each(batch: list[Ended]) -> Iterator[tuple[ClaimedJob, Outcome]]:
    """Yield each job with its outcome, also those of batches."""
    for job, outcome, _ in batch:
        outcomes = outcome.outcomes if isinstance(outcome, Several) else [outcome] * len(job.members)
        for member, each in zip(job.members, outcomes, strict=True):
            yield member, CANCELLED_ON_REQUEST if member.cancelled and not isinstance(each, Completed) else each
