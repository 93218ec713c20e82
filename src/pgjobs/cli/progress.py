"""A progress bar for what takes longer than a second: on stderr, and only on a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

QUIET_SECONDS = 1.0  # seconds


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Give a function that takes the number done so far. `total` is None where nobody knows it."""
    start = time.monotonic()
    bar: Progress | None = None

    def update(done: int) -> None:
        nonlocal bar
        if bar is None:
            if time.monotonic() - start < QUIET_SECONDS or not sys.stderr.isatty():
                return
            from pgjobs.cli.rich_output import progress_bar

            bar = progress_bar(label, total)
            bar.start()
        bar.update(bar.task_ids[0], completed=done)

    try:
        yield update
    finally:
        if bar is not None:
            bar.stop()
