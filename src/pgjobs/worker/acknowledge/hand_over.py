"""Hands over: what a job held goes to the next job of its lane, in the statement that acknowledges the first.

So the jobs of a sequence follow each other without a claim for each, and so do those of a limit that is used up. It is
done while nothing else waits: then no other lane loses its turn. Jobs of a limit may wait in several lanes, so one lane
keeps a slot for a moment only.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import starmap
from typing import Any

from pgjobs.payload.keys import SEPARATOR
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import Ended, LocalQueue
from pgjobs.worker.local.producer_signals import LostClaims

_LANE = -3  # of a row: lane, breaker, queue
TURN = 0.05  # seconds for which the jobs of a limit are handed over in one lane


def statement_for(lane: str, handed_since: float, now: float) -> str | None:
    r"""Return the statement that completes a job of this lane and claims the next one; None: a claim has to decide.

    `handed_since`: when the first job of those that were handed over ended (0: this is the first).

    >>> statement_for("\x1f\x1faccount:1\x1f", 0.0, 100.0)
    'complete_and_continue_sequences'
    >>> statement_for("\x1fapi\x1f\x1f", 99.98, 100.0)
    'complete_and_refill_limits'
    >>> statement_for("\x1fapi\x1f\x1f", 99.0, 100.0)  # long enough: other lanes may have the limit, too
    >>> statement_for("acme\x1fapi\x1f\x1f", 0.0, 100.0)  # tenants take turns
    >>> statement_for("by hand", 0.0, 100.0)

    """
    tenant, *keys = lane.split(SEPARATOR)
    if tenant or len(keys) != 3 or keys[2] or bool(keys[0]) == bool(keys[1]):
        return None
    _, sequence, _ = keys
    if sequence:
        return "complete_and_continue_sequences"
    return "complete_and_refill_limits" if not handed_since or now - handed_since < TURN else None


class HandOver:
    """What one acknowledger hands over. For one thread."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # by lane, of the batch that is being written
        self._ended: Counter[str] = Counter()  # jobs of that batch, by lane
        self.rows: list[tuple[Any, ...]] = []  # of jobs that were claimed, and are not known to be committed
        self.full: set[str] = set()  # lanes in which as many jobs were claimed as have ended
        self._in_doubt: set[LocalQueue] = set()  # an answer was lost: jobs may have been claimed

    def partition(self, batch: Iterable[Ended]) -> dict[str | None, list[Ended]]:
        """Return completed jobs by the statement that is to write them; None: one that claims nothing."""
        now = time.monotonic()
        self._since, self._ended = {}, Counter()
        groups: dict[str | None, list[Ended]] = defaultdict(list)
        for ended in batch:
            job, lane = ended[0], ended[0].lane or ""
            name = None
            if job.local_queue.claim_stats.spare and not job.local_queue.closing:
                name = statement_for(lane, job.handed_since, now)
            if name is not None:
                self._ended[lane] += 1
                self._since[lane] = min(self._since.get(lane, now), job.handed_since or now)
            groups[name].append(ended)
        return groups

    @staticmethod
    def rooms(batch: Iterable[Ended]) -> dict[str, int]:
        """Return how many jobs may be handed over where steps of workflows have ended, by queue: as many as these."""
        ended = Counter(job.local_queue for job, _, _ in batch)
        return {queue.name: jobs for queue, jobs in ended.items() if queue.claim_stats.spare and not queue.closing}

    @contextmanager
    def recording(self, batch: Iterable[Ended]) -> Iterator[None]:
        """Write this batch, then record what was claimed. Producers do not look for lost claims meanwhile."""
        queues = {job.local_queue.name: job.local_queue for job, _, _ in batch}
        with ExitStack() as stack:
            for name in sorted(queues):
                stack.enter_context(queues[name].handing_over)
            try:
                yield
            except BaseException:
                self._in_doubt.update(queues.values())
                self.rows.clear()
                raise
            if self.rows:
                self._record(queues)

    def look_for_lost(self) -> None:
        """Have producers hand back what was claimed when an answer was lost. Call it once the batch is written."""
        for queue in self._in_doubt:
            queue.signals.send(LostClaims())
        self._in_doubt.clear()

    def _record(self, queues: dict[str, LocalQueue]) -> None:
        rows, self.rows = self.rows, []
        claimed = Counter(row[_LANE] for row in rows)
        self.full |= {lane for lane, jobs in claimed.items() if jobs == self._ended[lane]}
        by_queue: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for *row, queue in rows:
            by_queue[queue].append(tuple(row))
        for name, some in by_queue.items():
            local_queue = queues[name]
            jobs = list(starmap(partial(ClaimedJob, name, local_queue), some))
            for job in jobs:
                job.handed_since = self._since.get(job.lane or "", 0.0)  # a step has no lane
            local_queue.inbox.put(local_queue.record_claimed(jobs))
