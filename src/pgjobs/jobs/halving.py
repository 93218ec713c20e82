"""Which jobs of a failed batch run together next: pure decisions.

A batch that fails is run again in halves, and these again, until the job that makes it fail stands alone. Where each
job that has stood alone has failed, and none has completed, it is not one job that fails but what all of them need:
then the others are left for later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
ENOUGH = 8  # jobs that failed alone, and none completed


@dataclass(slots=True)
class Search:
    """What is known of a batch that failed: how many of its jobs failed alone, and how many completed."""

    failed: int = 0
    completed: int = 0

    @property
    def is_in_vain(self) -> bool:
        """Whether all of them fail, as it seems."""
        return self.failed >= ENOUGH and not self.completed


def parts_of(jobs: Sequence[T], number: int) -> list[Sequence[T]]:
    """Return the jobs in this number of parts of about the same size, in their order.

    >>> parts_of([1, 2, 3, 4, 5], 2)
    [[1, 2, 3], [4, 5]]
    >>> parts_of([1], 2)
    [[1]]

    """
    size = -(-len(jobs) // max(1, number))
    return [jobs[at : at + size] for at in range(0, len(jobs), size)]
