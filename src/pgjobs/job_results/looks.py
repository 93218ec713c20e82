"""How a job stands at one moment, as it is read for those who follow it; and how far it has come, by its own word."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come, by its own word: `done` of `total`. `state`: what it has left for its next attempt."""

    done: float | None
    total: float | None
    message: str | None
    state: Any
    updated_at: datetime


class Look(NamedTuple):
    """How a job stands. `status`: None when it has ended, or is not there. `error`: of its last attempt."""

    job_id: int
    status: str | None
    attempt: int
    max_attempts: int
    error: str | None
    due_in: float | None  # seconds
    progress: Progress | None
    said_before: float | None  # seconds since its progress was written

    def is_final(self) -> bool:
        """Return True if it says that nothing is left to do."""
        said = self.progress
        return said is not None and said.done is not None and said.total is not None and said.done >= said.total

    def says(self) -> tuple[object, ...]:
        """Return what is new to those who follow when it differs."""
        return self.status, self.attempt, self.progress


def read_look(row: bytes) -> Look:
    """Read what look_at_jobs.sql returns for a job. The attempts are those since its last replay."""
    found = json.loads(row.decode("utf-8", errors="replace"))  # a database in SQL_ASCII has any bytes
    prior, said = found["prior_attempts"] or 0, found["progress"]
    return Look(
        found["id"],
        found["status"],
        max((found["attempt"] or 0) - prior, 0),
        (found["max_attempts"] or 0) - prior,
        found["error"],
        found["due_in"],
        None if said is None else read_progress(said),
        found["said_before"],
    )


def read_progress(said: dict[str, Any]) -> Progress:
    """Read a row of the table of progress that is written as JSON."""
    at = datetime.fromisoformat(said["updated_at"]).astimezone(UTC)
    return Progress(_number(said["done"]), _number(said["total"]), said["message"], said["state"], at)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
