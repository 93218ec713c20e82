"""The columns that a job's options decide, and the lists of columns in SQL that contain them.

A statement names a list in braces, as in `INSERT INTO pgjobs.jobs ({enqueue_columns}, payload)`. So a column is written
here once, and no statement of `sql/` changes when one is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class EnqueueColumns(NamedTuple):
    """The columns that all rows of one callable share. `run_at` wins over `delay` (seconds).

    All but `task` and `meta`, the last two, are options of the job by their names. They are in the order of the
    parameters of enqueue.sql, and prepared.py relies on it; without `delay`, in that of the type `enqueue_columns`.
    """

    run_at: datetime | None
    delay: float
    queue: str
    priority: int
    max_attempts: int
    timeout: float | None
    executor: str | None
    task: str
    meta: str | None


TYPES = {
    "queue": "text",
    "priority": "smallint",
    "max_attempts": "integer",
    "timeout": "real",
    "executor": "text",
    "task": "text",
    "meta": "jsonb",
}
"""The types of these columns in SQL. `run_at` and `delay` are not among them: statements compute when a job is due."""

_KEPT = ("id", "enqueued_at", *(name for name in TYPES if name != "max_attempts"), "summary", "signature", "payload")

LISTS = {
    # The columns that an enqueue writes beside run_at, and their values.
    "enqueue_columns": ", ".join(TYPES),
    "enqueue_values": ", ".join(f"CAST(%({name})s AS {kind})" for name, kind in TYPES.items()),
    # What a job keeps wherever its row goes: another partition, a dead letter, and back.
    "kept_columns": ", ".join(_KEPT),
    # The same, for what jobs take turns by.
    "flow_columns": "lane, limit_key, cost, sequence, on_failure, breaker",
    # What a job that has ended keeps of its last attempt.
    "attempt_columns": "run_at, started_at, worker_id, claims, attempt, max_attempts, prior_attempts",
}
"""The lists by their names. What is in none of them is dropped when a job ends, such as `isolate` and `held`."""
