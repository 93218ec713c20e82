"""What an enqueue gives back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class JobHandle(Generic[R_co]):
    """A job that was enqueued: `id` is its row in `pgjobs.jobs`, once the transaction is committed.

    For type checkers it knows what the job returns: `enqueue(conn, render, 7)` is a `JobHandle[Pdf]`.
    """

    id: int

    conflict: ClassVar[bool] = False
    """Whether this job was there before: another one had its unique key, and none was enqueued."""

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, JobHandle) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    if not TYPE_CHECKING:  # or every name would be right to a type checker

        def __getattr__(self, name: str) -> Any:
            """Raise the error for a missing name; for one that handles of other queues have, with what to do."""
            hint = None
            if not name.startswith("_"):
                from pgjobs.jobs.other_names import handle_hint  # imported lazily: only wrong names need it

                hint = handle_hint(name)
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}{'' if hint is None else f': {hint}'}",
                name=name,
                obj=self,
            )


class ExistingJob(JobHandle[R_co]):
    """The handle of a job that was there before. Only these cost more: a plain handle has its id, and nothing else."""

    __slots__ = ()
    conflict: ClassVar[bool] = True


def as_handles(ids: Sequence[int]) -> list[JobHandle[Any]]:
    """Return the handles of new jobs.

    What `JobHandle(id)` does, in half of its time: a tenth of what a bulk enqueue takes in the client.
    """
    handles = list(map(object.__new__, repeat(JobHandle, len(ids))))
    deque(map(JobHandle.__dict__["id"].__set__, handles, ids), maxlen=0)
    return handles


def as_handle(id: int) -> JobHandle[Any]:
    """Return the handle of a new job, or, for an id below 0, of one that was there before."""
    return ExistingJob(-id) if id < 0 else JobHandle(id)
