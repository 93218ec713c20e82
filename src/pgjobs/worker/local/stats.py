"""The numbers of a local queue. Each object has one writer; any thread may read, and may see a value a moment old."""

from __future__ import annotations

from pgjobs.worker.local.demand import QUICK_JOB, moving_mean


class ClaimStats:
    """Written by the queue's producer alone."""

    __slots__ = (
        "empty_since",
        "has_flow_control",
        "mean_bytes",
        "slow_until",
        "spare",
        "stalled",
        "waiting_for_demand",
    )

    def __init__(self) -> None:
        # Monotonic seconds at which the last claim began that looked everywhere and found nothing; 0: it found some.
        self.empty_since = 0.0
        self.has_flow_control = False  # jobs may wait for what running jobs hold: a limit, a sequence
        self.mean_bytes: float | None = None  # of a payload
        self.slow_until = 0  # of `EndStats.ran`: until then jobs count as slow, whatever the mean says
        self.spare = False  # the last claim found less than was wanted: nothing waits but for what running jobs hold
        self.stalled = False  # no job has started for a moment although threads sleep: `EndStats.quick` is out of date
        self.waiting_for_demand = False

    def record_sizes(self, jobs: int, size: int) -> None:
        """Take the payloads of a claim into account: `size` bytes in all."""
        self.mean_bytes = moving_mean(self.mean_bytes, size, jobs)


class EndStats:
    """Written by the acknowledger alone."""

    __slots__ = ("last_end", "mean_seconds", "quick", "ran")

    def __init__(self) -> None:
        self.last_end = 0.0  # monotonic seconds
        self.mean_seconds: float | None = None  # that a job runs
        self.quick = False  # jobs are so quick that one thread is enough
        self.ran = 0  # jobs that ran and ended

    def record_runs(self, ran: int, seconds: float) -> None:
        """Take in jobs that ran, for `seconds` in all."""
        self.ran += ran
        self.mean_seconds = moving_mean(self.mean_seconds, seconds, ran)
        self.quick = self.mean_seconds < QUICK_JOB
