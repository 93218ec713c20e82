"""What only a terminal gets: tables that fit its width, and progress bars on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import Progress

    from pgjobs.cli.output import Column

QUIET_SECONDS = 1.0  # no bar for what takes less
STATUS_STYLES = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "waiting": "blue",
    "paused": "yellow",
    "unheard": "red",
}


def rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal: long cells are cut, first those of columns with a share."""
    from rich.console import Console  # imported lazily: rich is slow to import, and files and pipes do not need it
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=any(column.share for column in columns))
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            ratio=column.share or None,
            no_wrap=True,
            overflow="ellipsis",
            header_style="bold",
        )
    for row in rows:
        # Text, not str: the arguments of a job are not markup.
        table.add_row(*(Text(cell, style=STATUS_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar for work that takes longer than a second.

    The block gets a function that takes the number done so far. `total`: None if it is unknown.
    """
    start = time.monotonic()
    bar: Progress | None = None

    def update(done: int) -> None:
        nonlocal bar
        if bar is None:
            if time.monotonic() - start < QUIET_SECONDS or not sys.stderr.isatty():
                return
            bar = _progress_bar(label, total)
            bar.start()
        bar.update(bar.task_ids[0], completed=done)

    try:
        yield update
    finally:
        if bar is not None:
            bar.stop()


def _progress_bar(label: str, total: int | None) -> Progress:
    from rich.console import Console  # imported lazily, as above
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn() if total is not None else TextColumn("{task.completed:,.0f}"),
        TimeRemainingColumn() if total is not None else TextColumn(""),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )
    bar.add_task(label, total=total)
    return bar
