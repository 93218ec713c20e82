"""The steps of `benchmarks.workflows`."""

from __future__ import annotations

from pgjobs import job


@job(summary=False)
def step(number: int) -> None:
    """Do nothing."""


@job(summary=False)
def last() -> None:
    """Do nothing, after all others."""
