"""A job whose function gets a list: `@job(batch=Batch(100))`. Its jobs are enqueued one item each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from pgjobs.jobs.job import Job

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)


class BatchJob(Job[..., C_co], Generic[T, R_co, C_co]):
    """A function over a list, whose jobs have one item each. Calling it is calling the function, with a list.

    For type checkers it knows the item, what a job of one item returns, and what the function returns.
    """

    if TYPE_CHECKING:

        def __call__(self, items: list[T], /) -> C_co:
            """Call the function, here and now, with a list."""
