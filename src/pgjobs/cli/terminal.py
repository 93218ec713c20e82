"""What only a terminal gets: tables that fit its width, and progress bars on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import Progress
    from rich.table import Table

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


LEAST_SHARE = 24  # characters of a column with a share: with fewer it says nothing
GAP = 2  # characters between columns


def columns_in_table(columns: Sequence[Column], widths: Sequence[int], total: int) -> list[int]:
    """Return the columns that stay in a table of this width; the cells of the others are printed below their rows.

    First those with a share leave it, the last one first, and then others; the first two stay. `widths`: of the longest
    cells.
    """
    staying = list(range(len(columns)))
    leaving = [at for at in staying if columns[at].share][::-1] + [at for at in staying if not columns[at].share][:1:-1]
    for at in leaving:
        needed = sum(LEAST_SHARE if columns[each].share else widths[each] for each in staying)
        if needed + GAP * len(staying) <= total + GAP:
            break
        staying.remove(at)
    return staying


def rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal: long cells are cut, and on a narrow one stand below their rows."""
    from rich.cells import cell_len  # imported lazily: rich is slow to import, and files and pipes do not need it
    from rich.console import Console
    from rich.segment import Segment, Segments
    from rich.text import Text

    console = Console(highlight=False)
    widths = [
        max(cell_len(cell) for cell in (column.title, *cells)) for column, *cells in zip(columns, *rows, strict=True)
    ]
    staying = columns_in_table(columns, widths, console.width)
    if len(staying) == len(columns):
        console.print(_table(columns, rows))
        return
    table = _table([columns[at] for at in staying], [[row[at] for at in staying] for row in rows])
    below = [at for at in range(len(columns)) if at not in staying]
    header, *lines = console.render_lines(table, pad=False)
    console.print(Segments([*header, Segment.line()]), end="")
    for line, row in zip(lines, rows, strict=True):
        console.print(Segments([*line, Segment.line()]), end="")
        for at in below:
            text = row[at] if columns[at].share else f"{columns[at].title.lower()} {row[at]}"
            if row[at]:
                console.print(Text(f"  {text}"), no_wrap=True, overflow="ellipsis")


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), expand=any(column.share for column in columns))
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
    return table


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
