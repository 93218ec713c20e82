"""What hooks are called with, beside the `CurrentJob`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is about to be enqueued.

    `meta`: as it is by now, with what the hooks before have added. `args`, `kwargs`: None for `enqueue_many`, where one
    call stands for all its jobs. `schedule`: the name of the schedule that is declared or added (None: no schedule).
    """

    task: str
    queue: str
    priority: int
    meta: Mapping[str, Any]
    args: tuple[Any, ...] | None = None
    kwargs: Mapping[str, Any] | None = None
    schedule: str | None = None


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What an attempt led to, after it was written.

    `status`: "failed" is a dead letter; "retried" and "snoozed" jobs run again at about `next_at`. `seconds`: how long
    it ran, if it did. `error`: one line, or the reason of a cancellation. `exception`: what was raised, with its
    traceback, where the job ran in a thread or on the loop of this process; `traceback`: the same as text.
    """

    id: int
    task: str
    queue: str
    attempt: int
    max_attempts: int
    meta: Mapping[str, Any]
    status: Literal["completed", "retried", "failed", "snoozed", "cancelled"]
    seconds: float | None = None
    error: str | None = None
    traceback: str | None = None
    exception: BaseException | None = None
    next_at: datetime | None = None
