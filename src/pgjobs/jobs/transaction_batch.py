"""A job whose function gets a connection and a list: `@job(batch=Batch(500), transaction=True)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pgjobs.jobs.batch_job import BatchJob
from pgjobs.jobs.transaction import TransactionJob, Wanted, find_wanted, without_first

if TYPE_CHECKING:
    from pgjobs.core.callables import Parameters

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)


class TransactionBatchJob(BatchJob[T, R_co, C_co]):
    """A batch that its worker calls in a transaction, whose COMMIT completes all of its jobs."""

    wanted: Wanted
    """What its worker passes before the list."""

    def __init__(self, function: Callable[..., C_co], *arguments: Any) -> None:
        super().__init__(function, *arguments)
        self.wanted = find_wanted(function)
        self._enqueued = without_first(function)

    @property
    def enqueued_parameters(self) -> Parameters:
        """What it takes besides the connection."""
        return self._enqueued


BATCH_JOBS = frozenset((BatchJob, TransactionBatchJob))
IN_TRANSACTION = frozenset((TransactionJob, TransactionBatchJob))
