"""How a workflow is, from how its steps are: decided without SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

WorkflowStatus = Literal["running", "stuck", "completed", "failed", "cancelled"]


class StepCounts(NamedTuple):
    """How many steps there are, and how they are. `active`: may run; `held`: wait for others."""

    steps: int
    active: int
    held: int
    completed: int
    failed: int
    cancelled: int
    skipped: int


NO_STEPS = StepCounts(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a step has ended that another one waited for: completed, failed, cancelled or skipped. `id`: of its job."""

    name: str
    id: int
    status: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class GrownSteps:
    """What a step has added to its workflow: the parameters of the statements that insert it.

    `batches`: of each the columns and the values of its rows. `steps` and `active`: how many there are, and how many of
    them may run at once. `last`: those that what waits for the step waits for as well, from now on.
    """

    workflow: int
    steps: int
    active: int
    last: list[int]
    batches: list[tuple[dict[str, Any], dict[str, Any]]]


def status_of(counts: StepCounts, *, is_cancelled: bool) -> WorkflowStatus:
    """Return the status of a workflow. `is_cancelled`: an operator has asked for that.

    >>> steps = StepCounts(3, 0, 0, 3, 0, 0, 0)
    >>> status_of(steps, is_cancelled=False)
    'completed'
    >>> status_of(steps._replace(completed=2, active=1), is_cancelled=False)
    'running'
    >>> status_of(steps._replace(completed=1, failed=1, held=1), is_cancelled=False)  # a step waits for the failed one
    'stuck'
    >>> status_of(steps._replace(completed=2, failed=1), is_cancelled=False)
    'failed'
    >>> status_of(steps._replace(completed=2, skipped=1), is_cancelled=False)
    'completed'

    """
    if counts.active:
        return "running"
    if is_cancelled and not counts.held:
        return "completed" if counts.completed == counts.steps else "cancelled"
    if counts.held:
        return "running" if is_cancelled else "stuck"
    return "failed" if counts.failed or counts.cancelled else "completed"


def has_ended(status: WorkflowStatus) -> bool:
    """Return True if none of its steps will run any longer, unless they are retried."""
    return status in ("completed", "failed", "cancelled")


def called_back(status: WorkflowStatus) -> str | None:
    """Return which of its callbacks are called in this status; each is called once."""
    if status == "completed":
        return "on_completed"
    return "on_failure" if status in ("failed", "stuck") else None
