"""A wait that a running job is in: others are told of it, so that `why` and `doctor` can name it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from pgjobs.jobs.context import current, report_wait

if TYPE_CHECKING:
    from pgjobs.job_results.source import Place
    from pgjobs.jobs.context import RunningJob

SLICE = 0.5  # seconds after which a wait in a job looks up: what ends the job is raised between two steps of Python
TELL_AFTER = 1.0  # seconds: shorter waits cost nothing
TELL_EVERY = 30.0  # what it waits for becomes less
MOST = 100  # ids that are told


class WaitInJob:
    """The wait of a running job."""

    def __init__(self, job: RunningJob, place: Place) -> None:
        self._job = job
        self._place = place
        self._tell_at = time.monotonic() + TELL_AFTER
        self._is_told = False

    @classmethod
    def begin(cls, place: Place) -> WaitInJob | None:
        """Return the wait, if a job runs here."""
        job = current.get()
        return None if job is None else cls(job, place)

    def tell(self, ids: Iterable[int]) -> None:
        """Report for which jobs it waits, if it has waited for a while, in the database that the worker serves."""
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_EVERY
            if self._is_told or self._place.is_ours():
                report_wait(self._job, list(islice(ids, MOST)))
                self._is_told = True

    def end(self) -> None:
        """Take it back."""
        if self._is_told:
            report_wait(self._job, ())
