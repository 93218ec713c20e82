"""Adds up what the worker processes of a supervisor count, those that are gone as well: for metrics and the minutes.

A process writes its counts to the shared scoreboard, once a second and at its end. What one that is gone had counted is
kept here, so that no sum decreases when a process is replaced; a process that is killed takes at most its last second
with it.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from pgjobs.telemetry.metrics import MAX_QUEUES, MAX_TASKS, WORKERS, Capped, Family, families
from pgjobs.worker.local.counts import OUTCOMES, RETRIED, SUM

if TYPE_CHECKING:
    from pgjobs.worker.supervisor.worker_handle import WorkerHandle

Arrays = dict[str, list[float]]
_HISTOGRAMS = {
    "waits": "pgjobs_job_wait_seconds",
    "claims": "pgjobs_claim_duration_seconds",
}


class SupervisorCounts:
    """The sums of one supervisor. `add` and `remove` are for its main thread; any thread may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[WorkerHandle, dict[str, Any]] = {}  # what each process had counted when it was looked at
        self._gone: dict[str, Any] = {}  # what those had counted that are gone
        self._queues = Capped(MAX_QUEUES)
        self._tasks = Capped(MAX_TASKS)
        self.deaths = 0
        self.rescued = 0

    def add(self, worker: WorkerHandle) -> None:
        """Take in a process that was started."""
        with self._lock:
            self._seen[worker] = {}

    def remove(self, worker: WorkerHandle) -> None:
        """Keep what a process has counted that is gone. Its scoreboard must still be there."""
        with self._lock:
            self._look(worker)
            last = self._seen.pop(worker, {})
            last.pop("slots", None)
            merge(self._gone, self._bounded(last))

    def sums(self) -> dict[str, Any]:
        """Return what all processes have counted, as of a second ago. Of the slots, those that are there now."""
        with self._lock:
            return self._sums()

    def read(self) -> list[Family]:
        """Return the metrics of all processes, as of a second ago."""
        with self._lock:
            total = self._sums()
            found = families(WORKERS)
            self._fill(found, total)
            found["pgjobs_process_deaths_total"].put(self.deaths)
            found["pgjobs_rescued_jobs_total"].put(self.rescued)
            registered = sum(worker.worker_id is not None for worker in self._seen)
            found["pgjobs_processes"].put(registered, "registered")
            found["pgjobs_processes"].put(len(self._seen) - registered, "starting")
            return [*found.values()]

    def _sums(self) -> dict[str, Any]:
        total: dict[str, Any] = {}
        merge(total, self._gone)
        for worker in self._seen:
            self._look(worker)
            merge(total, self._seen[worker])
        return total

    def _look(self, worker: WorkerHandle) -> None:
        text = worker.read_counts()
        if text is not None:
            self._seen[worker] = json.loads(text)

    def _bounded(self, counts: dict[str, Any]) -> dict[str, Any]:
        """Return counts under the names that they are shown by: as many processes come and go, so may names."""
        found: dict[str, Any] = {}
        for part, by_name in counts.items():
            for name, value in by_name.items():
                if part == "tasks":
                    for task, array in value.items():
                        merge(found, {part: {self._queues(name): {self._tasks(task): array}}})
                else:
                    merge(found, {part: {self._queues(name) if part in _HISTOGRAMS else name: value}})
        return found

    def _fill(self, found: dict[str, Family], total: dict[str, Any]) -> None:
        for queue, tasks in total.get("tasks", {}).items():
            for task, array in tasks.items():
                names = self._queues(queue), self._tasks(task)
                for outcome, place in OUTCOMES.items():
                    if array[place]:
                        found["pgjobs_jobs_finished_total"].put(array[place], *names, outcome)
                if array[RETRIED]:
                    found["pgjobs_retries_total"].put(array[RETRIED], *names)
                found["pgjobs_job_duration_seconds"].put_counts(array[: SUM + 1], *names)
        for part, name in _HISTOGRAMS.items():
            for queue, array in total.get(part, {}).items():
                found[name].put_counts(array, self._queues(queue))
        for array in total.get("acknowledged", {}).values():
            found["pgjobs_acknowledge_duration_seconds"].put_counts(array)
        for queue, (slots, busy) in total.get("slots", {}).items():
            found["pgjobs_slots"].put(slots, self._queues(queue))
            found["pgjobs_slots_busy"].put(busy, self._queues(queue))


def merge(total: dict[str, Any], more: dict[str, Any]) -> None:
    """Add counts to others: lists of numbers, in dictionaries of dictionaries.

    >>> total = {"waits": {"mail": [1, 2]}}
    >>> merge(total, {"waits": {"mail": [3, 4], "default": [5, 6]}})
    >>> total
    {'waits': {'mail': [4, 6], 'default': [5, 6]}}

    """
    for name, value in more.items():
        if isinstance(value, dict):
            merge(total.setdefault(name, {}), value)
        else:
            before = total.get(name)
            total[name] = [*value] if before is None else [a + b for a, b in zip(before, value, strict=True)]
