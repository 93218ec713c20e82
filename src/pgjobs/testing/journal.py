"""What jobs write of themselves while they run, on the connection of the test: progress, steps, waits.

A worker writes these on connections of its own, so they stay when an attempt fails. Here what a failed attempt did is
undone with its savepoint; so they are written once more after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from pgjobs.effects.progress import ReportValues
from pgjobs.effects.steps import check_key, restored, stored

if TYPE_CHECKING:
    from pgjobs.jobs.context import RunningJob

Rows = Callable[..., list[dict[str, Any]]]
_WRITES = ("write_step", "write_progress", "begin_wait", "end_wait")


class Journal:
    """Writes them, and remembers what was written since `begin`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._written: list[tuple[str, Mapping[str, Any]]] = []

    def begin(self) -> None:
        """Forget what was written: a job begins."""
        self._written.clear()

    def write_again(self) -> None:
        """Write it once more: the savepoint around the job was undone."""
        for name, values in self._written:
            self._rows(name, **values)

    def rows(self, name: str, /, **values: Any) -> list[dict[str, Any]]:
        """Run a statement by its name, and return its rows."""
        if name in _WRITES:
            self._written.append((name, values))
        return self._rows(name, **values)

    # What `current_job()` reports to: see `jobs.context.Reporter`.

    def report(self, job: RunningJob, done: object, total: object, message: object, state: object) -> None:
        """Write how far a job has come, at once."""
        report = ReportValues.of(job.claim_number, done, total, message, state)
        self.rows("write_progress", **report.columns(job.id))

    def report_wait(self, job: RunningJob, ids: Collection[int]) -> None:
        """Do nothing: a job that waits for others in a test waits in vain, and says so itself."""

    def read_state(self, job: RunningJob) -> Any:
        """Return what the attempts of a job have left."""
        rows = self.rows("read_state", id=job.id)
        state = rows[0]["state"] if rows else None
        return json.loads(state) if isinstance(state, str | bytes) else state

    def read_step(self, job: RunningJob, key: str) -> tuple[Any] | None:
        """Return the value of a step in a tuple; None: it has not been done."""
        rows = self.rows("read_step", id=job.id, key=check_key(key))
        return (restored(job.id, key, bytes(rows[0]["value"]), rows[0]["signature"]),) if rows else None

    def write_step(self, job: RunningJob, key: str, value: object) -> None:
        """Remember the value of a step."""
        data, signature = stored(job.id, job.task, key, value)
        self.rows("write_step", id=job.id, key=key, value=data, signature=signature)

    def once_in(
        self, job: RunningJob, conn: Any, key: str, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Do a step and remember its value in the transaction of `conn`."""
        from pgjobs.effects.steps_within import once_in  # imported lazily: few jobs need it

        return once_in(job, conn, key, function, args, kwargs)
