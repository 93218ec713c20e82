"""The columns that are the same in all rows of one callable."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class JobColumns(NamedTuple):
    """The values that all rows of a call have in common. `run_at` wins over `delay` (seconds)."""

    queue: str
    priority: int
    run_at: datetime | None
    delay: float
    max_attempts: int
    timeout: float | None
    executor: str | None
    task: str
    meta: str | None
