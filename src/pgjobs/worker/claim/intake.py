"""Where claimed jobs enter the local queue: they are counted, and jobs of paused tasks are parked instead of run."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import starmap
from typing import Any

from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import Outcome, Parked
from pgjobs.worker.claim.paused_tasks import PausedTasks
from pgjobs.worker.local.claimed_batch import ClaimedBatch, batch_of
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import LocalQueue, Outbox


class Intake:
    """Takes what one claimer claims into its local queue."""

    def __init__(self, local_queue: LocalQueue, outbox: Outbox) -> None:
        self._local_queue = local_queue
        self._outbox = outbox
        self._paused = PausedTasks()

    def rows_to_jobs(self, rows: Iterable[tuple[Any, ...]]) -> list[ClaimedJob]:
        """Make a job of each row, whose values follow the fields of `ClaimedJob` from `id` on."""
        local_queue = self._local_queue
        return list(starmap(partial(ClaimedJob, local_queue.name, local_queue), rows))  # a sixth quicker than a loop

    def load_pauses(self, cursor: Any) -> None:
        """Read which tasks are paused."""
        self._paused = PausedTasks(cursor.execute(statement("paused_tasks")).fetchall())

    def reload_pauses(self, cursor: Any) -> None:
        """Read the paused tasks again, with every claim while there are some.

        A worker with an old list would park again what has just been put back. It is read before the claim counts: if
        it fails, the claimed jobs are handed back.
        """
        if self._paused:
            self.load_pauses(cursor)

    def record(self, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        """Count claimed jobs, and return those that do not run here already."""
        claim_stats = self._local_queue.claim_stats
        claim_stats.record_sizes(len(jobs), sum([len(job.payload) for job in jobs]))
        claim_stats.stalled = False
        return self._local_queue.record_claimed(jobs)

    def record_batches(self, batches: list[ClaimedBatch]) -> list[ClaimedJob]:
        """Count claimed batches, and return them without the jobs that run here already."""
        local_queue = self._local_queue
        members = [job for batch in batches for job in batch.members]
        local_queue.claim_stats.record_sizes(len(batches), sum([len(job.payload) for job in members]))
        local_queue.claim_stats.stalled = False
        recorded = local_queue.record_claimed(members)
        kept: list[ClaimedJob] = [*batches]
        if len(recorded) < len(members):
            new = set(recorded)
            left = [[job for job in batch.members if job in new] for batch in batches]
            kept = [batch_of(jobs) for jobs in left if jobs]
        local_queue.record_batch(sum(len(batch.members) - 1 for batch in kept))
        return kept

    def put(self, jobs: list[ClaimedJob]) -> None:
        """Put recorded jobs into the inbox, and park those of paused tasks."""
        if self._paused:
            pauses = [(job, self._paused.pause_of(job.task)) for job in jobs]
            jobs = [job for job, pause in pauses if pause is None]
            for job, pause in pauses:
                if pause is not None:
                    self.end(job, Parked(pause))
        self._local_queue.inbox.put(jobs)

    @property
    def in_haste(self) -> bool:
        """Whether batches do not wait for more jobs."""
        return self._local_queue.in_haste

    def end(self, job: ClaimedJob, outcome: Outcome) -> None:
        """End a recorded job without running it."""
        self._outbox.put((job, outcome, None))
