"""The steps of `benchmarks.workflows`."""

from __future__ import annotations

from pgjobs import Batch, job


@job(summary=False)
def step(number: int) -> None:
    """Do nothing."""


@job(summary=False, batch=Batch(500))
def together(numbers: list[int]) -> None:
    """Do nothing, 500 times."""


@job(summary=False)
def last() -> None:
    """Do nothing, after all others."""
