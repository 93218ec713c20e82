"""The hook of `benchmarks.extras`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pgjobs import CurrentJob
from pgjobs.hooks import around_job


@around_job
@contextmanager
def nothing(job: CurrentJob) -> Iterator[None]:
    """Do nothing."""
    yield
