"""The inbox of a lane: claimed jobs that wait for a thread, and the threads that wait for jobs.

The producer puts in a whole claim at once and wakes one thread. A thread that starts a job wakes the next one, if jobs
are left over. Where jobs are so quick that one thread runs them sooner than another would be awake, that is left out:
threads that fight for the interpreter's lock made such jobs cost a third more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Set
from queue import SimpleQueue

from pgjobs.jobs.context import CurrentJob


class Inbox:
    """Jobs in their order. One producer, many threads.

    `jobs` is for the threads' own `popleft`, which is one atomic step; when it is empty they call `wait`.
    """

    def __init__(self) -> None:
        self.jobs: deque[CurrentJob] = deque()
        self.sleeping: list[None] = []  # one entry for each thread that waits; append and pop are atomic
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._closed = False

    def __len__(self) -> int:
        """Count the jobs that wait."""
        return len(self.jobs)

    def put(self, jobs: Iterable[CurrentJob]) -> None:
        """Put jobs in, and wake a thread."""
        self.jobs.extend(jobs)
        self.wake_another()

    def wake_another(self) -> None:
        """Wake one thread more, if there is something to do, and nobody is on the way already."""
        # A thread says that it sleeps before it looks for the last time: either it sees the job, or we see the thread.
        if self.jobs and self.sleeping and not self._wakes.qsize():
            self._wakes.put(None)

    def wait(self) -> CurrentJob | None:
        """Give the next job as soon as there is one; None: the inbox was closed, and is empty."""
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

    def take_back(self) -> Iterator[CurrentJob]:
        """Take everything out again."""
        while True:
            try:
                yield self.jobs.popleft()
            except IndexError:
                return

    def take_last(self, number: int) -> Iterator[CurrentJob]:
        """Take out so many of those that came last, or as many as there are."""
        for _ in range(number):
            try:
                yield self.jobs.pop()
            except IndexError:
                return

    def take_of(self, breakers: Set[str]) -> list[CurrentJob]:
        """Take out the jobs of these breakers, wherever they lie. From any thread."""
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
        """Send the threads away, once nothing is left."""
        self._closed = True
        for _ in range(threads):
            self._wakes.put(None)
