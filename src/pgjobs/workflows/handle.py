"""What enqueueing a workflow gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pgjobs.core.errors import UsageError
from pgjobs.jobs.handle import JobHandle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgjobs.workflows.workflow import AnyStep, Step, Workflow

R = TypeVar("R")


class WorkflowHandle:
    """A workflow that was enqueued: `id` is its row in `pgjobs.workflows`, once the transaction is committed."""

    __slots__ = ("_flow", "_ids", "id")

    conflict: ClassVar[bool] = False
    """Whether it was there before: an unfinished workflow had its key, and nothing was enqueued."""

    def __init__(
        self, id: int, flow: Workflow | None = None, ids: Mapping[int, range | list[int]] | None = None
    ) -> None:
        self.id = id
        self._flow = flow
        self._ids = ids or {}

    def job(self, step: Step[R]) -> JobHandle[R]:
        """Return the handle of a step's job: for `result`, `progress` and `signal`.

        Raises:
            UsageError: it is not a single step of this workflow.

        """
        found = self.jobs(step)
        if len(found) != 1:
            raise UsageError(f"{step!r} has {len(found)} jobs: call jobs(…) for their handles.")
        return found[0]

    def jobs(self, step: AnyStep) -> list[JobHandle[Any]]:
        """Return the handles of all jobs of a step, or of a map over a list, in their order.

        Raises:
            UsageError: it is not a step of this workflow.

        """
        if any(node.flow is not self._flow for node in step.nodes) or not self._ids:
            raise UsageError(f"{step!r} was not enqueued with this handle.")
        return [JobHandle(job) for node in step.nodes for job in self._ids[node.index]]

    def all_jobs(self) -> list[int]:
        """Return the ids of the jobs of all steps; none of a workflow that was there before."""
        return [job for ids in self._ids.values() for job in ids]

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, WorkflowHandle) else NotImplemented

    def __hash__(self) -> int:
        return hash(("workflow", self.id))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id})"


class ExistingWorkflow(WorkflowHandle):
    """The handle of a workflow that was there before."""

    __slots__ = ()
    conflict: ClassVar[bool] = True
