"""The inbox of a local queue: claimed jobs that wait for a thread, and threads that wait for jobs.

The producer puts in a whole claim at once and wakes one thread. A thread that starts a job wakes the next one if jobs
are left over. Where jobs are so quick that one thread runs them sooner than another would be awake, it does not:
threads that compete for the interpreter's lock made such jobs cost a third more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Set
from queue import SimpleQueue

from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.job_claim import Claim


class Inbox:
    """Jobs in their order. One producer, many threads.

    Threads take jobs from `jobs` by `popleft`, which is one atomic step; when it is empty they call `wait`.
    """

    def __init__(self) -> None:
        self.jobs: deque[ClaimedJob] = deque()
        self.sleeping: list[None] = []  # one entry for each thread that waits; append and pop are atomic
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._closed = False

    def __len__(self) -> int:
        """Return the number of jobs that wait."""
        return len(self.jobs)

    def head(self) -> Claim | None:
        """Return the claim of the job that is next; while it stays the same, no job starts."""
        try:
            job = self.jobs[0]
        except IndexError:
            return None
        return job.key()

    def put(self, jobs: Iterable[ClaimedJob]) -> None:
        """Put jobs in, and wake a thread."""
        self.jobs.extend(jobs)
        self.wake_another()

    def put_first(self, jobs: Iterable[ClaimedJob]) -> None:
        """Put jobs in before all others, and wake a thread."""
        self.jobs.extendleft(reversed(list(jobs)))
        self.wake_another()

    def wake_another(self) -> None:
        """Wake one more thread if there is a job for it and no other thread is waking up."""
        # A thread adds itself to `sleeping` before its last look: either it sees the job, or we see the thread.
        if self.jobs and self.sleeping and not self._wakes.qsize():
            self._wakes.put(None)

    def wait(self) -> ClaimedJob | None:
        """Return the next job as soon as there is one; None: the inbox is closed and empty."""
        while True:
            self.sleeping.append(None)
            try:
                return self.jobs.popleft()
            except IndexError:
                if self._closed:
                    return None
                self._wakes.get()
            finally:
                self.sleeping.pop()

    def take_all(self) -> Iterator[ClaimedJob]:
        """Take out every job that has not started."""
        while True:
            try:
                yield self.jobs.popleft()
            except IndexError:
                return

    def take_last(self, number: int) -> Iterator[ClaimedJob]:
        """Take out the last `number` jobs, or as many as there are."""
        for _ in range(number):
            try:
                yield self.jobs.pop()
            except IndexError:
                return

    def take_with_breakers(self, breakers: Set[str]) -> list[ClaimedJob]:
        """Take out the jobs of these breakers, at whatever position. From any thread."""
        taken = []
        for job in list(self.jobs):
            if job.breaker in breakers:
                try:
                    self.jobs.remove(job)  # as atomic as popleft: jobs are compared by identity
                except ValueError:
                    continue  # a thread was faster
                taken.append(job)
        return taken

    def close(self, threads: int) -> None:
        """Have this many threads end once the inbox is empty."""
        self._closed = True
        for _ in range(threads):
            self._wakes.put(None)
