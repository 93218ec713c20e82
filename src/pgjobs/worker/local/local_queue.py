"""A queue inside a worker process: its slots, its inbox, and the numbers that producer and acknowledger share.

Each number has one writer: the producer counts what it claimed, the acknowledger what has ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from queue import SimpleQueue

from pgjobs.jobs.context import ControlledJob, CurrentJob
from pgjobs.jobs.outcome import Outcome
from pgjobs.worker.local.demand import QUICK_JOB, demand, moving_mean, surplus
from pgjobs.worker.local.inbox import Inbox

MAX_UNACKNOWLEDGED = 10_000  # ended jobs that may wait for their acknowledgement
Ended = tuple[CurrentJob, Outcome, float | None]  # what lies in the outbox: job, outcome, seconds that it ran
Outbox = SimpleQueue[Ended | None]


class LocalQueue:
    """One queue of a worker. `first_slot` is where its slots begin on the board."""

    def __init__(self, name: str, slots: int, first_slot: int) -> None:
        self.name = name
        self.slots = slots
        self.inbox = Inbox()
        self.tokens: SimpleQueue[int] = SimpleQueue()  # a job needs one to run; the numbers are places on the board
        for slot in range(first_slot, first_slot + slots):
            self.tokens.put(slot)
        self.coroutines: set[str] = set()  # tasks that run on the event loop, and so keep no thread
        self.claimed = 0
        self.ended = 0
        # id → number of its claim, for what was claimed and is not acknowledged; minus that, once it has ended
        self.inflight: dict[int, int] = {}
        self.mean: float | None = None  # seconds a job takes
        self.quick = False  # whether jobs are so quick that one thread is enough
        self.mean_bytes: float | None = None  # of a payload
        self.last_claim = 0.0  # monotonic seconds
        self.last_start = 0.0
        self.last_end = 0.0
        self.empty_since = 0.0  # when the last claim that looked everywhere and found nothing began; 0: it found some
        self.hungry = False  # the producer waits for demand
        self.look_ahead = False  # something was queued for later: when it is due, may be sooner than the next look
        self.takes_turns = False  # jobs wait for what those that run hold: a limit, a sequence
        self.freed = False  # some of that may be free again
        self.look_anew = False
        self.freed_lanes: list[tuple[int, str]] = []  # priorities and lanes of the jobs that had it
        self._bell_read, self._bell_write = os.pipe()
        os.set_blocking(self._bell_read, False)
        os.set_blocking(self._bell_write, False)

    @property
    def outstanding(self) -> int:
        """Jobs that were claimed and have not ended."""
        return self.claimed - self.ended

    def demand(self) -> int:
        """Give how many jobs to claim now; none while acknowledgements do not get through."""
        if len(self.inflight) > self.outstanding + MAX_UNACKNOWLEDGED:
            return 0
        return demand(self.outstanding, self.slots, self.mean, self.mean_bytes)

    def surplus(self) -> int:
        """Give how many jobs wait in the inbox that others could run sooner."""
        return surplus(len(self.inbox.jobs), self.slots, self.mean, self.mean_bytes)

    def note_sizes(self, jobs: int, size: int) -> None:
        """Take the payloads of a claim into account: `size` bytes in all."""
        self.mean_bytes = moving_mean(self.mean_bytes, size, jobs)

    def note_ended(self, jobs: int, ran: int, seconds: float) -> None:
        """Count jobs that have ended; `ran` of them ran, for `seconds` in all. Wakes a producer that waits for it."""
        self.last_end = time.monotonic()  # before it counts, so that nobody takes an older emptiness for a newer one
        self.ended += jobs
        if ran:
            self.mean = moving_mean(self.mean, seconds, ran)
            self.quick = self.mean < QUICK_JOB
        if self.hungry and self.demand():
            self.wake()

    def note_stall(self) -> None:
        """Take it that jobs are not quick any more: one keeps a thread, and others wait behind it."""
        self.quick = False
        self.inbox.wake_another()

    @property
    def wake_fd(self) -> int:
        """The file descriptor that is readable after `wake()`."""
        return self._bell_read

    def free(self, jobs: Iterable[CurrentJob] | None = None) -> None:
        """Say that these were acknowledged, and others may have waited for that; None: look at everything anew."""
        if jobs is None:
            self.look_anew = True
        else:
            self.freed_lanes += [(job.priority, job.turn[0]) for job in jobs if isinstance(job, ControlledJob)]
        self.freed = True
        self.wake()

    def wake(self) -> None:
        """Wake the producer, wherever it waits."""
        self.hungry = False
        try:
            os.write(self._bell_write, b"!")
        except BlockingIOError:
            pass  # it is full of wake-ups

    def woken(self) -> None:
        """Forget the wake-ups so far."""
        try:
            while os.read(self._bell_read, 4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._bell_read)
        os.close(self._bell_write)
