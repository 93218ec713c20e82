"""Tables and progress bars on a terminal, by rich. Imported only where there is a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgjobs.cli.column import Column

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
    """Print a table that fits the terminal: long cells are cut, the columns with a share give way first."""
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
        # Text, not str: what a job had in its arguments is no markup.
        table.add_row(*(Text(cell, style=STATUS_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


def progress_bar(label: str, total: int | None) -> Progress:
    """Make a bar on stderr, which is gone when it is done."""
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
