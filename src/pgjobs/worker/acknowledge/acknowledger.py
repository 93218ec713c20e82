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
from pgjobs.hooks.kinds import outcome_hooks
from pgjobs.jobs.outcome import (
    CANCELLED_ON_REQUEST,
    COMPLETED,
    Cancelled,
    Completed,
    Divided,
    Released,
    Retried,
    Snoozed,
)
from pgjobs.jobs.retry import without_commit
from pgjobs.worker.acknowledge.breaker_recorder import BreakerRecorder
from pgjobs.worker.acknowledge.ended_batches import opened, run_again
from pgjobs.worker.acknowledge.held_jobs import HeldJobs
from pgjobs.worker.acknowledge.outcome_hooks import OutcomeHooks
from pgjobs.worker.acknowledge.outcome_log import job_log, labels, report, report_late_error
from pgjobs.worker.acknowledge.outcome_writer import OutcomeWriter
from pgjobs.worker.local.claimed_batch import known as batches_known
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.counts import Counts
from pgjobs.worker.local.local_queue import Ended, LocalQueue, Outbox
from pgjobs.worker.local.producer_signals import Freed, LookAhead, Rescan
from pgjobs.worker.runtime.critical_thread import CriticalThread
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped

log = logging.getLogger("pgjobs.acknowledger")
MAX_FLUSH = 1_000  # jobs
CHECK_EVERY = 1.0  # seconds between two looks at which queues keep no history, while there is something to flush

_Targets: TypeAlias = "tuple[Callable[[ClaimedJob], None], Callable[[float], None], list[Ended], list[Ended]]"


class _Tally:
    """The ended jobs of one queue in a flush."""

    __slots__ = ("jobs", "seconds")

    def __init__(self) -> None:
        self.jobs: list[ClaimedJob] = []
        self.seconds: list[float] = []  # of each one that ran


class _Flush:
    """A batch of ended jobs, sorted."""

    __slots__ = (
        "batch",
        "completed",
        "controlled",
        "forgotten",
        "held",
        "others",
        "released",
        "stages",
        "steps",
        "tallies",
        "with_results",
        "within",
    )

    def __init__(self, batch: list[Ended]) -> None:
        self.batch = batch
        self.completed: list[Ended] = []  # plain jobs
        self.controlled: list[Ended] = []  # completed, and had to wait for their turn
        self.forgotten: list[Ended] = []  # completed, plain or not, in a queue without history
        self.with_results: dict[bool, list[Ended]] = {}  # completed, and their results are kept; by `keep` of history
        self.steps: list[Ended] = []  # of workflows, completed
        self.stages: dict[bool, list[Ended]] = {}  # of pipelines, completed, with items for the next; as `with_results`
        self.others: list[Ended] = []  # all other outcomes
        self.within: list[Ended] = []  # called complete(), whatever their outcome
        self.held: list[Ended] = []  # could not be written, because another transaction has locked the row
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
        self._grace = grace
        self._queues = queues
        self._breakers = breakers
        self._without_history: frozenset[str] = frozenset()  # queues that keep nothing of what completes
        self._next_check = 0.0  # monotonic seconds
        self._held = HeldJobs(worker_id)
        self._writer = OutcomeWriter(server, worker_id, host, grace, self._held)
        self.hooks = OutcomeHooks()
        """To be stopped after this thread."""
        self.settled = 0  # attempts, whatever their outcome
        self.counts: Counts | None = None  # for metrics; None: they are not served

    def work(self) -> None:
        """Flush until told to stop."""
        last = False
        while not last:
            batch, last = self._next_batch()
            try:
                if batch:
                    self.acknowledge(batch)
                else:
                    self._writer.end_workflows()
                if self._held:
                    self._flush_held()
            except Stopped:
                left = len(batch) + len(self._held)
                log.error("PostgreSQL cannot be reached: %d ended jobs are not acknowledged and will run again", left)
                break
        else:
            if self._held:
                log.error(
                    "%d ended jobs are locked by other transactions: they are not acknowledged and will run again",
                    len(self._held),
                )
        self._server.close()

    def acknowledge(self, batch: list[Ended]) -> None:
        """Write the outcomes of ended jobs now, in this thread: its own, or that of a test, which has no other."""
        if not batches_known:
            self._flush(batch)
            return
        batch = opened(batch)
        for at in range(0, len(batch), MAX_FLUSH):
            self._flush(batch[at : at + MAX_FLUSH])

    def _next_batch(self) -> tuple[list[Ended], bool]:
        """Wait for ended jobs, and return all that are there, and whether to stop. None: look at what was locked."""
        batch: list[Ended] = []
        try:
            ended = self._outbox.get(timeout=self._writer.seconds_left())
            while ended is not None:
                batch.append(ended)
                if len(batch) == MAX_FLUSH:
                    return batch, False
                ended = self._outbox.get_nowait()
        except Empty:
            return batch, False
        return batch, True

    @property
    def trouble(self) -> str | None:
        """Why it cannot acknowledge now; None: it can."""
        return self._server.trouble

    @property
    def ended(self) -> int:
        """How many jobs run no more, and are recorded as such."""
        return self._writer.ended

    def stop(self) -> None:
        """Flush what is in the outbox, and end."""
        self._outbox.put(None)

    def _flush(self, batch: list[Ended]) -> None:
        """Acknowledge a batch: sort it, count it, write it, and tell the producers."""
        if time.monotonic() >= self._next_check:
            self._server.run(self._check_history, patience=self._grace)
        flush = self._sort(batch)
        self._count(flush)
        if self.counts is None:
            self._write(flush)
        else:
            began = time.monotonic()
            self._write(flush)
            self.counts.acknowledged(time.monotonic() - began)
        self._notify(flush)
        self._writer.end_workflows()
        self._count_settled(flush)
        if job_log.isEnabledFor(logging.DEBUG):
            for job, outcome, seconds in batch:
                if isinstance(outcome, Completed):
                    job_log.debug("completed in %.4f s", seconds or 0, extra=labels(job))

    def _flush_held(self) -> None:
        """Acknowledge what another transaction had locked, as far as it is free now."""
        batch = self._held.due()
        if not batch:
            return
        flush = self._sort(batch, again=True)
        self._write(flush, again=True)
        self._notify(flush)
        self._writer.end_workflows()
        self._count_settled(flush)

    def _sort(self, batch: list[Ended], *, again: bool = False) -> _Flush:
        """Sort ended jobs by the statement that writes them, and tally them by queue. `again`: they were counted."""
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
            if outcome is COMPLETED and job.lane is None and not job.completing:
                completed.append(ended)
                continue
            if job.completing:
                flush.within.append(ended)
                continue
            if job.breaker is not None and not again:
                self._breakers.note(job, outcome, seconds)
            if outcome is COMPLETED:
                controlled.append(ended)
            elif isinstance(outcome, Completed) and outcome.is_step:
                flush.steps.append(ended)
            elif isinstance(outcome, Completed) and outcome.items is not None:
                flush.stages.setdefault(job.queue not in self._without_history, []).append(ended)
            elif isinstance(outcome, Completed):
                flush.with_results.setdefault(job.queue not in self._without_history, []).append(ended)
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

    def _write(self, flush: _Flush, *, again: bool = False) -> None:
        """Write the outcomes, one statement for each kind. `again`: others had locked their rows."""
        writer = self._writer
        if flush.within:
            self._confirm(flush)
        if flush.forgotten:
            flush.released |= writer.complete(flush.forgotten, flush.held, keep=False, again=again)
            self._tell_completed(flush.forgotten, flush)
        if flush.completed:
            flush.released |= writer.complete(flush.completed, flush.held, again=again)
            self._tell_completed(flush.completed, flush)
        if flush.controlled:
            flush.released |= writer.complete(flush.controlled, flush.held, controlled=True, again=again)
            self._tell_completed(flush.controlled, flush)
        for keep, some in flush.with_results.items():
            flush.released |= writer.complete(
                some, flush.held, keep=keep, controlled=keep, again=again, with_results=True
            )
            self._tell_completed(some, flush)
        if flush.steps:
            flush.released |= writer.complete_steps(flush.steps, flush.held, again=again)
            self._tell_completed(flush.steps, flush)
        for keep, some in flush.stages.items():
            flush.released |= writer.complete_stages(some, flush.held, keep=keep, again=again)
            self._tell_completed(some, flush)
        if flush.others:
            written = writer.settle(flush.others, flush.held, again=again)
            if self.counts is not None:
                self.counts.settled((job, written.get(job.key()), seconds) for job, _, seconds in flush.others)
            if outcome_hooks.hooks:
                settled = ((job, written.get(job.key()), seconds) for job, _, seconds in flush.others)
                self.hooks.tell([(job, now, seconds, job.exception) for job, now, seconds in settled if now])
            for job, outcome, _ in (ended for ended in flush.others if ended not in flush.held):
                now = written.get(job.key())
                report(job, outcome if now is None else now, written=now is not None)
        if flush.held or self._held:
            self._held.replace(flush.batch, flush.held)

    def _tell_completed(self, batch: list[Ended], flush: _Flush) -> None:
        if self.counts is not None:
            self.counts.completed(batch, flush.held, self._writer.lost)
        if outcome_hooks.hooks:
            self.hooks.completed(batch, flush.held, self._writer.lost)

    def _confirm(self, flush: _Flush) -> None:
        """See which jobs have completed in transactions of their own. The others get the outcomes they have."""
        completed, left = self._writer.confirm(flush.within, flush.held)
        again: list[Ended] = []  # of batches that failed after they had called it, and were rolled back
        if self.counts is not None:
            self.counts.completed([ended for ended in flush.within if ended[0].key() in completed], [], set())
        if outcome_hooks.hooks:
            self.hooks.completed((ended for ended in flush.within if ended[0].key() in completed), [], set())
        for ended in flush.within:
            job, outcome, seconds = ended
            if job.key() in left and ended not in flush.held:
                if isinstance(outcome, Divided):
                    again.append(ended)
                    continue
                outcome = without_commit(outcome, *job.budget())
                if job.cancelled and not isinstance(outcome, Cancelled):
                    outcome = CANCELLED_ON_REQUEST
                flush.others.append((job, outcome, seconds))
            elif job.key() in completed:
                if not isinstance(outcome, Completed):
                    report_late_error(job, outcome)
                outcome = COMPLETED
                if job.releases:
                    job.local_queue.signals.send(Rescan())  # a claim releases those that wait for it
            else:
                continue
            if job.breaker is not None:
                self._breakers.note(job, outcome, seconds)
        if again:
            for job, _, _ in again:
                job.local_queue.record_claimed([job])  # it was counted as ended
            flush.others += run_again(again)

    def _count_settled(self, flush: _Flush) -> None:
        handed_back = sum(isinstance(outcome, Released) for _, outcome, _ in flush.others)
        self.settled += len(flush.batch) - len(flush.held) - handed_back

    def _notify(self, flush: _Flush) -> None:
        """Forget what is acknowledged, and tell the producers what may be claimed because of it."""
        now, full = time.monotonic(), self._writer.take_full_lanes()
        for local_queue in flush.tallies:
            has_flow_control = local_queue.claim_stats.has_flow_control
            if flush.others or flush.released or has_flow_control:
                # A claim that found nothing before has not seen what may be due again, or may have its turn now.
                local_queue.end_stats.last_end = now
            local_queue.record_acknowledged()
            if has_flow_control:
                freed = {  # once each: all jobs of a batch have one
                    (job.priority, job.lane): None
                    for job, _, _ in flush.batch
                    if job.lane is not None and job.local_queue is local_queue and job.lane not in full
                }
                if freed or not full:
                    local_queue.signals.send(Freed([*freed]))
        later = {job.local_queue for job, outcome, _ in flush.others if isinstance(outcome, Retried | Snoozed)}
        for local_queue in later:
            local_queue.signals.send(LookAhead())

    def _check_history(self, server: ReconnectingConnection) -> None:
        rows = server.connection.execute(statement("queues_without_history"), {"queues": list(self._queues)}).fetchall()
        self._without_history = frozenset(row[0] for row in rows)
        self._next_check = time.monotonic() + CHECK_EVERY
