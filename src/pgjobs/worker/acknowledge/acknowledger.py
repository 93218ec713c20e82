"""The acknowledger: takes ended jobs from the outbox, and writes the outcomes of all that are there at once.

Batches form by themselves: while one flush is written, the next one gathers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from queue import Empty
from typing import TypeAlias

from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import (
    CANCELLED_ON_REQUEST,
    COMPLETED,
    Cancelled,
    Outcome,
    Released,
    Retried,
    Snoozed,
    ends_job,
)
from pgjobs.worker.acknowledge.breaker_recorder import BreakerRecorder
from pgjobs.worker.acknowledge.outcome_log import job_log, labels, report
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import Ended, LocalQueue, Outbox
from pgjobs.worker.local.producer_signals import Freed, LookAhead
from pgjobs.worker.runtime.critical_thread import CriticalThread
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.runtime.settle import Settlement, complete, is_refusal, log_kept_out, settle

log = logging.getLogger("pgjobs.acknowledger")
MAX_FLUSH = 1_000  # jobs
CHECK_EVERY = 1.0  # seconds between two looks at which queues keep no history, while there is something to flush

_Targets: TypeAlias = "tuple[Callable[[ClaimedJob], None], Callable[[float], None], list[ClaimedJob], list[ClaimedJob]]"


class _Tally:
    """The ended jobs of one queue in a flush."""

    __slots__ = ("jobs", "seconds")

    def __init__(self) -> None:
        self.jobs: list[ClaimedJob] = []
        self.seconds: list[float] = []  # of each one that ran


class _Flush:
    """A batch of ended jobs, sorted."""

    __slots__ = ("batch", "completed", "controlled", "forgotten", "others", "released", "tallies")

    def __init__(self, batch: list[Ended]) -> None:
        self.batch = batch
        self.completed: list[ClaimedJob] = []  # plain jobs
        self.controlled: list[ClaimedJob] = []  # completed, and had to wait for their turn
        self.forgotten: list[ClaimedJob] = []  # completed, plain or not, in a queue without history
        self.others: list[Ended] = []  # all other outcomes
        self.released = False  # other jobs waited for one of these
        self.tallies: dict[LocalQueue, _Tally] = {}


class Acknowledger(CriticalThread):
    """One thread and one connection for all `queues` of a worker process. `stop()` ends it after a last flush.

    `queues` is looked at again and again: patterns add names to it.
    """

    def __init__(
        self,
        outbox: Outbox,
        server: ReconnectingConnection,
        worker_id: int,
        host: str,
        grace: float,
        queues: Sequence[str],
        breakers: BreakerRecorder,
    ) -> None:
        super().__init__(name="pgjobs-acknowledger", daemon=True)
        self._outbox = outbox
        self._server = server
        self._worker_id = worker_id
        self._host = host
        self._grace = grace
        self._queues = queues
        self._breakers = breakers
        self._without_history: frozenset[str] = frozenset()  # queues that keep nothing of what completes
        self._next_check = 0.0  # monotonic seconds
        self.settled = 0  # attempts, whatever their outcome
        self.ended = 0  # jobs that run no more, and are recorded as such

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
                    "PostgreSQL cannot be reached: %d ended jobs are not acknowledged and will run again", len(batch)
                )
                break
            if last:
                break
        self._server.close()

    def stop(self) -> None:
        """Flush what is in the outbox, and end."""
        self._outbox.put(None)

    def _flush(self, batch: list[Ended]) -> None:
        """Acknowledge a batch: sort it, count it, write it, and tell the producers."""
        if time.monotonic() >= self._next_check:
            self._server.run(self._check_history, patience=self._grace)
        flush = self._sort(batch)
        self._count(flush)
        self._write(flush)
        self._notify(flush)
        self.settled += len(batch) - sum(isinstance(outcome, Released) for _, outcome, _ in flush.others)
        if job_log.isEnabledFor(logging.DEBUG):
            for job, outcome, seconds in batch:
                if outcome is COMPLETED:
                    job_log.debug("completed in %.4f s", seconds or 0, extra=labels(job))

    def _sort(self, batch: list[Ended]) -> _Flush:
        """Sort ended jobs by the statement that writes them, and tally them by queue."""
        flush = _Flush(batch)
        others = flush.others
        here = batch[0][0].local_queue
        add_job, add_seconds, completed, controlled = self._targets(flush, here)
        for ended in batch:
            job, outcome, seconds = ended
            if job.local_queue is not here:
                here = job.local_queue
                add_job, add_seconds, completed, controlled = self._targets(flush, here)
            add_job(job)
            if seconds is not None:
                add_seconds(seconds)
            if outcome is COMPLETED and job.lane is None:
                completed.append(job)
                continue
            if job.breaker is not None:
                self._breakers.note(job, outcome, seconds)
            if outcome is COMPLETED:
                controlled.append(job)
            elif job.cancelled and not isinstance(outcome, Cancelled):
                others.append((job, CANCELLED_ON_REQUEST, seconds))  # it raised because of that, or was killed
            else:
                others.append(ended)
        return flush

    def _targets(self, flush: _Flush, queue: LocalQueue) -> _Targets:
        """Return where the jobs of a queue go: their tally, and the lists of those that completed."""
        tally = flush.tallies.setdefault(queue, _Tally())
        completed, controlled = flush.completed, flush.controlled
        if queue.name in self._without_history:
            completed = controlled = flush.forgotten
        return tally.jobs.append, tally.seconds.append, completed, controlled

    def _count(self, flush: _Flush) -> None:
        """Free the slots: the producers may claim while the flush is written."""
        for local_queue, tally in flush.tallies.items():
            local_queue.record_ended(tally.jobs, len(tally.seconds), sum(tally.seconds))

    def _write(self, flush: _Flush) -> None:
        """Write the outcomes, one statement for each kind."""
        if flush.forgotten:
            flush.released |= self._complete(flush.forgotten, keep=False)
        if flush.completed:
            flush.released |= self._complete(flush.completed)
        if flush.controlled:
            flush.released |= self._complete(flush.controlled, controlled=True)
        if flush.others:
            written = self._settle([(job.key(), outcome) for job, outcome, _ in flush.others])
            for job, outcome, _ in flush.others:
                now = written.get(job.key())
                report(job, outcome if now is None else now, written=now is not None)
            self.ended += sum(map(ends_job, written.values()))

    def _notify(self, flush: _Flush) -> None:
        """Forget what is acknowledged, and tell the producers what may be claimed because of it."""
        now = time.monotonic()
        for local_queue in flush.tallies:
            has_flow_control = local_queue.claim_stats.has_flow_control
            if flush.others or flush.released or has_flow_control:
                # A claim that found nothing before has not seen what may be due again, or may have its turn now.
                local_queue.end_stats.last_end = now
            local_queue.record_acknowledged()
            if has_flow_control:
                local_queue.signals.send(
                    Freed(
                        [
                            (job.priority, job.lane)
                            for job, _, _ in flush.batch
                            if job.lane is not None and job.local_queue is local_queue
                        ]
                    )
                )
        later = {job.local_queue for job, outcome, _ in flush.others if isinstance(outcome, Retried | Snoozed)}
        for local_queue in later:
            local_queue.signals.send(LookAhead())

    def _check_history(self, server: ReconnectingConnection) -> None:
        rows = server.connection.execute(statement("queues_without_history"), {"queues": list(self._queues)}).fetchall()
        self._without_history = frozenset(row[0] for row in rows)
        self._next_check = time.monotonic() + CHECK_EVERY

    def _complete(self, jobs: list[ClaimedJob], *, keep: bool = True, controlled: bool = False) -> bool:
        """Write that these jobs completed; return True if other jobs waited for one of them."""
        awaited: set[int] = set()
        ended = 0
        ids, claim_numbers = [job.id for job in jobs], [job.claim_number for job in jobs]

        def write(server: ReconnectingConnection) -> None:
            import psycopg

            nonlocal ended
            stale: list[int] = []
            kept_out: list[int] = []
            pieces = [(ids, claim_numbers)]
            while pieces:
                some, claims = pieces.pop()
                try:
                    with server.hot_cursor() as cursor:
                        stale += complete(
                            cursor, self._worker_id, some, claims, keep=keep, controlled=controlled, awaited=awaited
                        )
                except psycopg.Error as error:
                    if not is_refusal(error):
                        raise
                    if half := len(some) // 2:  # those that others refuse stop no others
                        pieces += [(some[:half], claims[:half]), (some[half:], claims[half:])]
                    else:
                        kept_out += some
                        reason = error
            if kept_out:
                log_kept_out(kept_out, COMPLETED, reason)
            self._warn_stale(stale)
            ended = len(ids) - len(stale) - len(kept_out)

        self._server.run(write, patience=self._grace)
        self.ended += ended
        return bool(awaited)

    def _settle(self, settlements: list[Settlement]) -> dict[Claim, Outcome]:
        """Write outcomes, and return those that were written."""
        written: dict[Claim, Outcome] = {}

        def write(server: ReconnectingConnection) -> None:
            with server.hot_cursor() as cursor:
                stale = settle(cursor, self._worker_id, self._host, settlements, written=written)
            self._warn_stale([claim.job_id for claim in stale])

        self._server.run(write, patience=self._grace)
        return written

    def _warn_stale(self, ids: list[int]) -> None:
        if ids:
            log.warning(
                "acknowledgements dropped: %d; these jobs no longer belong to this worker, and run again: %s",
                len(ids),
                ", ".join(map(str, ids[:20])),
            )
