"""A queue inside a worker process: its slots, its inbox, and what producer, executors and acknowledger share.

No attribute has two writers: `claims` is the producer's, `ends` the acknowledger's, and what others tell the producer
goes through `signals`. The sets of claims are changed by two threads, but each change is one atomic step.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from queue import SimpleQueue

from pgjobs.jobs.outcome import Outcome
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.demand import STALE_INBOX, demand, surplus
from pgjobs.worker.local.inbox import Inbox
from pgjobs.worker.local.producer_signals import ProducerSignals
from pgjobs.worker.local.stats import ClaimStats, EndStats

MAX_UNACKNOWLEDGED = 10_000  # ended jobs that may wait for their acknowledgement
Ended = tuple[ClaimedJob, Outcome, float | None]  # an entry of the outbox: job, outcome, seconds that it ran
Outbox = SimpleQueue[Ended | None]
ClaimKey = tuple[int, int]  # a job's id and the number of its claim


class LocalQueue:
    """One queue of a worker. `first_slot`: where its slots begin on the scoreboard."""

    def __init__(self, name: str, slots: int, first_slot: int) -> None:
        self.name = name
        self.slots = slots
        self.inbox = Inbox()
        self.tokens: SimpleQueue[int] = SimpleQueue()  # a job needs one to run; they are slots of the scoreboard
        for slot in range(first_slot, first_slot + slots):
            self.tokens.put(slot)
        self.coroutines: set[str] = set()  # tasks that run on the event loop, so they occupy no thread
        self.signals = ProducerSignals()
        self.claims = ClaimStats()
        self.ends = EndStats()
        self.running: set[ClaimKey] = set()  # claimed and not ended; the producer adds, the acknowledger removes
        self.unacknowledged: set[ClaimKey] = set()  # ended, and not yet acknowledged; the acknowledger's

    @property
    def mean_seconds(self) -> float | None:
        """Seconds that a job takes, about; None: not known yet."""
        mean = self.ends.mean_seconds
        return mean if self.ends.ran >= self.claims.slow_until else max(mean or 0.0, STALE_INBOX)

    def demand(self) -> int:
        """Return how many jobs to claim now; 0 while acknowledgements do not get through."""
        if len(self.unacknowledged) > MAX_UNACKNOWLEDGED:
            return 0
        return demand(len(self.running), self.slots, self.mean_seconds, self.claims.mean_bytes)

    def surplus(self) -> int:
        """Return how many jobs of the inbox another worker could run sooner."""
        return surplus(len(self.inbox.jobs), self.slots, self.mean_seconds, self.claims.mean_bytes)

    def record_ended(self, claims: Collection[ClaimKey], ran: int, seconds: float) -> None:
        """Count jobs that ended; `ran` of them ran, for `seconds` in all. Wakes a producer that waits for demand."""
        self.ends.last_end = time.monotonic()  # before they count: an older "empty" must not look newer than this
        self.unacknowledged.update(claims)  # first: a reader of both sets must find each claim in one of them
        self.running.difference_update(claims)
        if ran:
            self.ends.record_runs(ran, seconds)
        self.wake_if_wanted()

    def record_acknowledged(self, claims: Collection[ClaimKey]) -> None:
        """Forget ended jobs whose outcome is written. Wakes a producer that was held up by their number."""
        self.unacknowledged.difference_update(claims)
        self.wake_if_wanted()

    def wake_if_wanted(self) -> None:
        """Wake the producer if it waits for demand and there is some."""
        if self.claims.waiting_for_demand and self.demand():
            self.signals.wake()

    def unfinished(self) -> set[ClaimKey]:
        """Return the claims that have not ended, or are not acknowledged."""
        return self.running.copy() | self.unacknowledged.copy()

    def close(self) -> None:
        """Close the pipe of the signals."""
        self.signals.close()
