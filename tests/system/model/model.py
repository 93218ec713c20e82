"""What the tables should hold, as plain values: the contract in a hundred lines, without SQL, threads or time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Job:
    """A job as users know it."""

    most: int
    status: str = "queued"
    attempt: int = 0
    claims: int = 0
    prior: int = 0
    worker: int | None = None
    due: bool = True
    letter: bool = False
    errors: int = 0
    asked: bool = False  # to end, while it runs
    began: bool = False  # in an attempt that does not count
    result: int | None = None  # the claim that has returned what is kept
    said: int | None = None  # the claim whose progress is kept
    step: int | None = None  # the claim that has done its one step

    def has_started(self) -> bool:
        """Return True if it has started, as unique keys with until="started" see it."""
        return self.began or self.attempt > 0


@dataclass(frozen=True)
class Claim:
    """What a worker holds after it claimed: valid for one outcome, as long as the job was not rescued."""

    job: int
    claims: int
    worker: int


@dataclass
class Model:
    """All jobs, by id."""

    jobs: dict[int, Job] = field(default_factory=dict)

    def due(self) -> list[int]:
        return sorted(number for number, job in self.jobs.items() if job.status == "queued" and job.due)

    def holds(self, claim: Claim) -> bool:
        """Return True if an outcome of this claim counts."""
        job = self.jobs[claim.job]
        return job.status == "running" and (job.claims, job.worker) == (claim.claims, claim.worker)

    def completed(self, claim: Claim) -> bool:
        """Return True if it was this claim that completed the job: a repetition does no harm."""
        job = self.jobs[claim.job]
        return job.status == "completed" and (job.claims, job.worker) == (claim.claims, claim.worker)

    def claim(self, number: int, worker: int) -> Claim:
        job = self.jobs[number]
        assert job.status == "queued", f"job {number} was claimed, and is {job.status}"
        assert job.due, f"job {number} was claimed before it is due"
        job.status, job.worker, job.asked = "running", worker, False
        job.attempt += 1
        job.claims += 1
        return Claim(number, job.claims, worker)

    def complete(self, claim: Claim, *, keeps: bool = False) -> None:
        if self.holds(claim):
            self.jobs[claim.job].status = "completed"
            self.jobs[claim.job].result = claim.claims if keeps else None

    def report(self, claim: Claim) -> None:
        """Report progress: it counts unless another claim has the job, or had it last before it was queued again."""
        job = self.jobs[claim.job]
        if job.status not in ("queued", "running") or job.claims == claim.claims:
            job.said = claim.claims

    def do_step(self, claim: Claim) -> None:
        """Do the step of the job: the value of the first claim that did it stays."""
        job = self.jobs[claim.job]
        job.step = claim.claims if job.step is None else job.step

    def cancel_itself(self, claim: Claim) -> None:
        if self.holds(claim):
            self.jobs[claim.job].status = "cancelled"

    def error(self, claim: Claim, *, later: bool) -> None:
        """Retry, or fail for good when no attempt is left."""
        if not self.holds(claim):
            return
        job = self.jobs[claim.job]
        if job.asked:
            job.status = "cancelled"
            return
        job.errors += 1
        if job.attempt >= job.most:
            job.status, job.letter = "failed", True
        else:
            job.status, job.worker, job.due = "queued", None, not later

    def take_back(self, claim: Claim, *, later: bool = False, began: bool = False) -> None:
        """Snooze, or release: the attempt does not count, but it may have begun."""
        if self.holds(claim):
            job = self.jobs[claim.job]
            if job.asked:
                job.status = "cancelled"
                return
            job.status, job.worker, job.due = "queued", None, job.due and not later
            job.attempt -= 1
            job.began = job.began or began

    def cancel(self, number: int) -> None:
        if self.jobs[number].status == "queued":
            self.jobs[number].status = "cancelled"
        elif self.jobs[number].status == "running":
            self.jobs[number].asked = True

    def again(self, number: int) -> None:
        """Put a finished job back, with a fresh budget; make a queued one due."""
        job = self.jobs[number]
        if job.status == "queued":
            job.due = True
        elif job.status in ("completed", "failed", "cancelled"):
            job.most = job.attempt + max(job.most - job.prior, 1)
            job.status, job.prior, job.worker, job.due, job.letter = "queued", job.attempt, None, True, False
            job.result = None

    def replay(self, number: int) -> None:
        if self.jobs[number].letter:
            self.again(number)

    def discard(self, number: int) -> None:
        self.jobs[number].letter = False
