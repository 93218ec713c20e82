"""Ended jobs whose rows other transactions have locked: their outcomes are written when those end.

An application may cancel or change jobs in a transaction that stays open. An acknowledgement that waited for it would
hold up all others, so it waits for half a second at most. For some seconds after that, rows are locked before they are
written, and those that others have are left out.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pgjobs.db.statements import statement
from pgjobs.worker.local.local_queue import Ended
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import array

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.acknowledger")
CAREFUL_FOR = 5.0  # seconds after a lock was met
TRY_EVERY = 0.25  # seconds between two tries to write what is held


class HeldJobs:
    """The held jobs of one acknowledger, and whether it has to be careful. For one thread."""

    def __init__(self, worker_id: int) -> None:
        self._worker_id = worker_id
        self._careful_until = 0.0  # monotonic seconds
        self._next_try = math.inf
        self._jobs: dict[Claim, Ended] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def is_careful(self) -> bool:
        """Whether rows have to be locked before they are written."""
        return time.monotonic() < self._careful_until

    def met_lock(self) -> None:
        """Be careful from now on: a statement has waited in vain for the lock of another transaction."""
        self._careful_until = time.monotonic() + CAREFUL_FOR

    def free(self, cursor: psycopg.Cursor[Any], batch: list[Ended]) -> tuple[list[Ended], list[Ended]]:
        """Lock the rows of these jobs; return those that are locked now, and those that others have."""
        values = {"ids": array(job.id for job, _, _ in batch), "worker_id": self._worker_id}
        others = {row[0] for row in cursor.execute(statement("held_claims"), values)}
        if not others:
            return batch, []
        held = [ended for ended in batch if ended[0].id in others]
        self._report(cursor, held)
        return [ended for ended in batch if ended[0].id not in others], held

    def replace(self, tried: Iterable[Ended], held: Iterable[Ended]) -> None:
        """Forget the jobs that were tried, and remember those of them that are held. They are not acknowledged yet."""
        tried = list(tried)
        for job, _, _ in tried:
            self._jobs.pop(job.key(), None)
        for ended in held:
            self._jobs[ended[0].key()] = ended
        self._next_try = time.monotonic() + TRY_EVERY if self._jobs else math.inf
        jobs = [job for job, _, _ in self._jobs.values()]
        for queue in {job.local_queue for job, _, _ in tried}:
            queue.held = frozenset(job for job in jobs if job.local_queue is queue)

    def due(self) -> list[Ended]:
        """Return the jobs to try again now."""
        return list(self._jobs.values()) if time.monotonic() >= self._next_try else []

    @property
    def next_try(self) -> float:
        """When to try again (monotonic seconds); infinity: there is nothing to try."""
        return self._next_try

    def _report(self, cursor: psycopg.Cursor[Any], held: list[Ended]) -> None:
        """Name jobs that were not held before, and the oldest transaction that may have them."""
        new = [str(job.id) for job, _, _ in held if job not in job.local_queue.held]
        if not new:
            return
        holder = cursor.execute(statement("lock_holders")).fetchone()
        log.warning(
            "%d ended jobs are locked by other transactions, and are acknowledged after those (the oldest is %s): %s",
            len(new),
            "not known" if holder is None else f"{holder[2]} in process {holder[0]} of the server, {holder[1]}",
            ", ".join(new[:20]),
        )
