"""A queue inside a worker process: its slots, its inbox, and what producer, executors and acknowledger share.

`claim_stats` and `end_stats` have one writer each: the producer and the acknowledger. All else is changed by single
atomic steps, except `running`: producer and acknowledger change it under a lock, once for each batch. What others tell
the producer goes through `signals`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

from pgjobs.jobs.outcome import Outcome
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.demand import MAX_PREFETCHED, STALE_INBOX, demand, surplus
from pgjobs.worker.local.inbox import Inbox
from pgjobs.worker.local.producer_signals import ProducerSignals
from pgjobs.worker.local.stats import ClaimStats, EndStats

if TYPE_CHECKING:
    from pgjobs.worker.local.counts import Counts

Ended = tuple[ClaimedJob, Outcome, float | None]  # an entry of the outbox: job, outcome, seconds that it ran
Outbox = SimpleQueue[Ended | None]


class LocalQueue:
    """One queue of a worker. `first_slot`: where its slots begin on the scoreboard."""

    def __init__(self, name: str, slots: int, first_slot: int) -> None:
        self.name = name
        self.slots = slots
        self.inbox = Inbox()
        self.free_slots: SimpleQueue[int] = SimpleQueue()  # indexes on the scoreboard; a job needs one to run
        for slot in range(first_slot, first_slot + slots):
            self.free_slots.put(slot)
        self.coroutines: set[str] = set()  # tasks that run on the event loop, so they occupy no thread
        self.signals = ProducerSignals()
        self.claim_stats = ClaimStats()
        self.end_stats = EndStats()
        self.running: dict[int, ClaimedJob] = {}  # by id: claimed, and not yet taken from the outbox
        self.unacknowledged: Sequence[ClaimedJob] = ()  # the batch whose outcomes are being written
        self.held: frozenset[ClaimedJob] = frozenset()  # ended, and their rows are locked by other transactions
        self.counts: Counts | None = None  # for metrics; None: they are not served
        self.in_haste = False  # a drain: batches do not wait for more jobs
        self._together = 0  # of the running: how many take no slot of their own, because they are in a batch
        self._lock = threading.Lock()
        self.handing_over = threading.Lock()  # the acknowledger may have claimed what is not in `running` yet
        self.closing = False  # nothing more is to be claimed

    @property
    def mean_seconds(self) -> float | None:
        """Seconds that a job takes, about; None: not known yet."""
        mean = self.end_stats.mean_seconds
        return mean if self.end_stats.ran >= self.claim_stats.slow_until else max(mean or 0.0, STALE_INBOX)

    def demand(self) -> int:
        """Return how many jobs to claim now.

        Jobs that wait in the outbox count as running, so nothing is claimed while acknowledgements do not get through.
        """
        jobs, together = len(self.running), self._together
        if together and jobs - together >= self.slots and jobs > MAX_PREFETCHED:
            return 0  # few batches, and many rows
        return demand(jobs - together, self.slots, self.mean_seconds, self.claim_stats.mean_bytes)

    def calls(self) -> int:
        """Return how many calls run or wait in the inbox: a batch is one."""
        return len(self.running) - self._together

    def record_batch(self, more: int) -> None:
        """Count jobs that run in one call with another one; below 0: they do so no longer."""
        with self._lock:
            self._together += more

    def surplus(self) -> int:
        """Return how many jobs of the inbox another worker could run sooner."""
        return surplus(len(self.inbox.jobs), self.slots, self.mean_seconds, self.claim_stats.mean_bytes)

    def record_claimed(self, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        """Add claimed jobs to the running ones, and return those that did not run here already.

        Claims are committed asynchronously. If PostgreSQL crashes and loses one, its jobs are queued again, and this
        worker may claim a job a second time while it runs; the second claim then serves as well as the lost one.
        """
        running, ids = self.running, [job.id for job in jobs]
        with self._lock:
            if not running.keys().isdisjoint(ids):
                jobs = [
                    job
                    for job in jobs
                    if (known := running.get(job.id)) is None or known.claim_number != job.claim_number
                ]
                ids = [job.id for job in jobs]
            running.update(zip(ids, jobs, strict=True))
        return jobs

    def record_ended(self, jobs: Sequence[ClaimedJob], ran: int, seconds: float) -> None:
        """Count jobs that ended; `ran` of them ran, for `seconds` in all. Wakes a producer that waits for demand."""
        running = self.running
        self.end_stats.last_end = time.monotonic()  # before they count: an older "empty" must not look newer than this
        self.unacknowledged = jobs  # first: a reader of both must find each job in one of them
        with self._lock:
            for job in jobs:
                if running.get(job.id) is job:  # else the id was claimed again, under another number
                    del running[job.id]
        if ran:
            self.end_stats.record_runs(ran, seconds)
        self.wake_if_wanted()

    def record_acknowledged(self) -> None:
        """Forget the jobs that ended last: their outcomes are written."""
        self.unacknowledged = ()

    def wake_if_wanted(self) -> None:
        """Wake the producer if it waits for demand and there is some."""
        if self.claim_stats.waiting_for_demand and self.demand():
            self.signals.wake()

    def unfinished(self) -> set[ClaimedJob]:
        """Return the jobs that have not ended, or are not acknowledged."""
        return {*self.running.copy().values(), *self.unacknowledged, *self.held}

    def close(self) -> None:
        """Close the pipe of the signals."""
        self.signals.close()
