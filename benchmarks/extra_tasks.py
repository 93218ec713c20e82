"""The jobs of `benchmarks.extras`."""

from __future__ import annotations

from pgjobs import current_job, job


@job
def nothing(number: int) -> None:
    """Do nothing."""


@job(result=True)
def number(number: int) -> int:
    """Return what it was given."""
    return number


@job
def report(number: int) -> None:
    """Report that all is done."""
    current_job().progress(1, 1)
