"""What all tests of waiting share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgjobs.job_results import watcher


@pytest.fixture(autouse=True)
def _close_watchers() -> Iterator[None]:
    """End the threads and connections of the test: the next one has another database."""
    yield
    for each in watcher._watchers.values():
        each._sinks.clear()  # what a test that failed has left would be waited for
        each._followers.clear()
        each.close()
    watcher._watchers.clear()
