"""The columns that are the same in all rows of one callable."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class JobColumns(NamedTuple):
    """The columns that all rows of one callable share. `run_at` wins over `delay` (seconds).

    All but `task` and `meta`, the last two, are options of the job by their names.
    """

    queue: str
    priority: int
    run_at: datetime | None
    delay: float
    max_attempts: int
    timeout: float | None
    executor: str | None
    task: str
    meta: str | None
