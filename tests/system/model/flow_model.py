"""Which jobs may run beside each other, as plain values: limits and sequences, without SQL, threads or time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class FlowJob:
    """A job that takes turns with others. `failed`: its dead letter blocks its sequence."""

    limit: str | None
    sequence: str | None
    tenant: str | None
    priority: int
    status: str = "waiting"
    worker: int | None = None
    claims: int = 0

    @property
    def lane(self) -> tuple[int, str | None, str | None, str | None]:
        """Jobs of one lane wait for the same things."""
        return self.priority, self.tenant, self.limit, self.sequence


@dataclass
class FlowModel:
    """All jobs, by id, and the limits of their keys (no limit: as many as there are)."""

    jobs: dict[int, FlowJob] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    paused: bool = False

    def running(self, worker: int | None = None) -> list[int]:
        """Return the jobs that run, or those that one worker runs."""
        return [n for n, job in self.jobs.items() if job.status == "running" and worker in (None, job.worker)]

    def free_slots(self, limit: str) -> int:
        """Return how many more jobs of a limit may start; negative if it was lowered."""
        running = sum(job.status == "running" and job.limit == limit for job in self.jobs.values())
        return self.limits.get(limit, len(self.jobs)) - running

    def is_head(self, number: int) -> bool:
        """Return True if no other job of its sequence runs, goes before it, or blocks it."""
        job = self.jobs[number]
        return job.sequence is None or not any(
            other.status in ("running", "failed") or (other.status == "waiting" and n < number)
            for n, other in self.jobs.items()
            if other.sequence == job.sequence and n != number
        )

    def startable(self) -> list[int]:
        """Return the jobs that wait and could start, each by itself."""
        return [
            number
            for number, job in self.jobs.items()
            if not self.paused
            and job.status == "waiting"
            and self.is_head(number)
            and (job.limit is None or self.free_slots(job.limit) > 0)
        ]

    def start(self, number: int, worker: int) -> int:
        """Start a job, and return the number of its claim."""
        assert number in self.startable(), f"job {number} may not start: {self.jobs[number]}"
        job = self.jobs[number]
        job.status, job.worker, job.claims = "running", worker, job.claims + 1
        return job.claims

    def end(self, number: int, status: str) -> None:
        """End an attempt."""
        self.jobs[number].status = status

    def handed_over(self, ended: list[int]) -> Counter[tuple[int, str | None, str | None, str | None]]:
        """Return how many jobs of which lanes the ends of these have to start; they have ended already."""
        wanted: Counter[tuple[int, str | None, str | None, str | None]] = Counter()
        if self.paused:
            return wanted
        for number in ended:
            job = self.jobs[number]
            heads = [n for n in self.startable() if self.jobs[n].lane == job.lane]
            if job.sequence is not None:
                wanted[job.lane] = min(1, len(heads))
            else:
                wanted[job.lane] = min(wanted[job.lane] + 1, len(heads), max(0, self.free_slots(job.limit or "")))
        return wanted
