"""The acknowledger: takes ended jobs from the outbox and writes their outcomes, as many at once as there are.

Batches make themselves: while one flush is on its way to disk, the next one gathers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from queue import Empty
from typing import Any

from pgjobs.db.statements import statement
from pgjobs.jobs.context import CurrentJob
from pgjobs.jobs.outcome import (
    CANCELLED_ON_REQUEST,
    COMPLETED,
    RELEASED,
    Cancelled,
    Failed,
    Outcome,
    Parked,
    Retried,
    Snoozed,
)
from pgjobs.worker.acknowledge.breaker_recorder import BreakerRecorder
from pgjobs.worker.local.local_queue import Ended, LocalQueue, Outbox
from pgjobs.worker.runtime.critical_thread import CriticalThread
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.runtime.settle import Claim, Settlement, complete, settle

log = logging.getLogger("pgjobs.job")
MAX_FLUSH = 1_000  # jobs
CHECK_EVERY = 1.0  # seconds between two looks at which queues keep nothing, while there is something to flush


class Acknowledger(CriticalThread):
    """One thread and one connection for all `queues` of a worker process. `stop()` ends it, after a last flush."""

    def __init__(
        self,
        outbox: Outbox,
        link: ReconnectingConnection,
        worker_id: int,
        host: str,
        grace: float,
        queues: Sequence[str],
        breakers: BreakerRecorder,
    ) -> None:
        super().__init__(name="pgjobs-acknowledger", daemon=True)
        self._outbox = outbox
        self._link = link
        self._worker_id = worker_id
        self._host = host
        self._grace = grace
        self._queues = list(queues)
        self._breakers = breakers
        self._forgetful: frozenset[str] = frozenset()  # those that keep nothing of what completes
        self._next_look = 0.0  # monotonic seconds
        self.settled = 0  # jobs, whatever their outcome

    def work(self) -> None:
        """Flush until told to stop."""
        while True:
            first = self._outbox.get()
            if first is None:
                break
            batch, last = [first], False
            try:
                while len(batch) < MAX_FLUSH:
                    ended = self._outbox.get_nowait()
                    if ended is None:
                        last = True
                        break
                    batch.append(ended)
            except Empty:
                pass
            try:
                self._flush(batch)
            except Stopped:
                log.error(
                    "PostgreSQL is away: %d ended jobs could not be acknowledged; they will run again", len(batch)
                )
                break
            if last:
                break
        self._link.close()

    def stop(self) -> None:
        """Flush what lies in the outbox, and end."""
        self._outbox.put(None)

    def _flush(self, batch: list[Ended]) -> None:
        completed: list[int] = []
        claims: list[int] = []
        controlled: list[CurrentJob] = []  # completed, too
        others: list[tuple[Ended, Settlement]] = []
        local_queues: dict[LocalQueue, list[float]] = {}  # jobs, those that ran, their seconds
        here: LocalQueue | None = None
        for ended in batch:
            job, outcome, seconds = ended
            if job.local_queue is not here:
                here = job.local_queue
                inflight, count = here.inflight, local_queues.setdefault(here, [0, 0, 0.0])
            number, claim = job.id, job.claim
            inflight[number] = -claim
            count[0] += 1
            if seconds is not None:
                count[1] += 1
                count[2] += seconds
            is_plain = type(job) is CurrentJob
            if not is_plain and job.breaker is not None:
                self._breakers.note(job, outcome, seconds)
            if outcome is COMPLETED:
                if is_plain:
                    completed.append(number)
                    claims.append(claim)
                else:
                    controlled.append(job)
            else:
                if job.cancelled and not isinstance(outcome, Cancelled):
                    outcome = CANCELLED_ON_REQUEST  # it raised because of that, or was killed
                others.append(((job, outcome, seconds), (Claim(number, claim), outcome)))
        # The slots are free already: the producer may fetch while this flush is under way.
        for local_queue, (jobs, ran, total) in local_queues.items():
            local_queue.note_ended(int(jobs), int(ran), total)
        released = False
        if completed or controlled:
            if time.monotonic() >= self._next_look:
                self._link.run(self._look, patience=self._grace)
            if self._forgetful:
                released = self._forget(batch)
                kept = [job for job, how, _ in batch if how is COMPLETED and job.queue not in self._forgetful]
                plain = [job for job in kept if type(job) is CurrentJob]
                completed, claims = [job.id for job in plain], [job.claim for job in plain]
                controlled = [job for job in kept if type(job) is not CurrentJob]
        if completed:
            released |= self._complete(completed, claims)
        if controlled:
            ids = [job.id for job in controlled]
            released |= self._complete(ids, [job.claim for job in controlled], controlled=True)
        if others:
            self._settle([settlement for _, settlement in others])
            for ended, _ in others:
                _report(ended)
        now = time.monotonic()
        for local_queue in local_queues:
            if others or released or local_queue.takes_turns:
                local_queue.last_end = now  # who looked before has not seen what may be due again, or may have its turn
        if others:
            for local_queue in {
                job.local_queue for (job, outcome, _), _ in others if isinstance(outcome, Retried | Snoozed)
            }:
                local_queue.look_ahead = True
                local_queue.wake()
        for job, _, _ in batch:
            inflight = job.local_queue.inflight
            if inflight.get(job.id) == -job.claim:  # else it was queued again, and claimed again, meanwhile
                del inflight[job.id]
        for local_queue in local_queues:
            if local_queue.takes_turns:
                local_queue.free(job for job, _, _ in batch if job.local_queue is local_queue)
            elif local_queue.hungry and local_queue.demand():  # so many were not acknowledged that nothing was claimed
                local_queue.wake()
        self.settled += len(batch)
        if log.isEnabledFor(logging.DEBUG):
            for job, outcome, seconds in batch:
                if outcome is COMPLETED:
                    log.debug("completed in %.4f s", seconds or 0, extra=labels(job))

    def _look(self, link: ReconnectingConnection) -> None:
        rows = link.connection.execute(statement("queues_without_history"), {"queues": self._queues}).fetchall()
        self._forgetful = frozenset(row[0] for row in rows)
        self._next_look = time.monotonic() + CHECK_EVERY

    def _forget(self, batch: list[Ended]) -> bool:
        """Delete the completed jobs of queues that keep nothing, and say whether others waited for one of them."""
        jobs = [job for job, outcome, _ in batch if outcome is COMPLETED and job.queue in self._forgetful]
        return bool(jobs) and self._complete([job.id for job in jobs], [job.claim for job in jobs], keep=False)

    def _complete(self, ids: list[int], claims: list[int], *, keep: bool = True, controlled: bool = False) -> bool:
        """Write that they completed, and say whether others waited for one of them."""
        awaited: set[int] = set()

        def write(link: ReconnectingConnection) -> None:
            with link.hot_cursor() as cursor:
                stale = complete(
                    cursor, self._worker_id, ids, claims, keep=keep, controlled=controlled, awaited=awaited
                )
            self._drop(stale)

        self._link.run(write, patience=self._grace)
        return bool(awaited)

    def _settle(self, settlements: list[Settlement]) -> None:
        def write(link: ReconnectingConnection) -> None:
            with link.hot_cursor() as cursor:
                stale = settle(cursor, self._worker_id, self._host, settlements)
            self._drop([claim.id for claim in stale])

        self._link.run(write, patience=self._grace)

    def _drop(self, ids: list[int]) -> None:
        if ids:
            log.warning(
                "%d acknowledgements were dropped, because the jobs are not this worker's any more: %s",
                len(ids),
                ", ".join(map(str, ids[:20])),
            )


def labels(job: Any) -> dict[str, Any]:
    """Give what every log line about a job carries."""
    return {"job_id": job.id, "task": job.task, "queue": job.queue, "attempt": job.attempt}


def _report(ended: Ended) -> None:
    job, outcome, _ = ended
    message, level = _sentence(outcome, *job.budget())
    log.log(level, message, extra=labels(job))


def _sentence(outcome: Outcome, attempt: int, max_attempts: int) -> tuple[str, int]:
    match outcome:
        case Failed():
            return (
                f"failed after attempt {attempt} of {max_attempts}, now a dead letter: {outcome.error}",
                logging.ERROR,
            )
        case Retried():
            return (
                f"attempt {attempt} of {max_attempts} failed, again in {outcome.delay:.1f} s: {outcome.error}",
                logging.WARNING,
            )
        case Snoozed():
            return f"snoozed for {outcome.delay:g} s", logging.DEBUG
        case Cancelled():
            return f"cancelled: {outcome.reason}", logging.INFO
        case Parked():
            return f"parked, because {outcome.task} is paused", logging.DEBUG
        case _ if outcome is RELEASED:
            return "handed back", logging.DEBUG
        case _:
            return "completed", logging.DEBUG
