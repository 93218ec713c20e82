"""The output of the demo: numbered steps, progress (a bar on a terminal, else lines), SQL and its result."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgjobs.demo.claims import Claim, Table

INDENT = "    "


class Stage:
    """Writes to stdout. Colours and the bar only where that is a terminal."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._steps = 0

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line."""
        self._console.print(Text(text, style=style))

    def step(self, text: str) -> None:
        """Write the next numbered step."""
        self._steps += 1
        self.say(f"{self._steps}. {text}")

    def show(self, claim: Claim, found: Table) -> None:
        """Write a claim, its SQL and the result."""
        self.say()
        self.say(claim.sentence, "bold")
        self.say("".join(f"{INDENT}{line}\n" for line in claim.sql.splitlines()), "dim")
        for line in table_lines(found):
            self.say(INDENT + line, "cyan")

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show progress. The block gets a function that takes the number done so far."""
        if not self._console.is_terminal:
            yield self._quarters(label, total)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=done)

    def _quarters(self, label: str, total: int) -> Callable[[int], None]:
        shown = 0

        def update(done: int) -> None:
            nonlocal shown
            quarter = 4 * done // total
            if quarter > shown:
                shown = quarter
                self.say(f"{INDENT}{label}: {done:,} of {total:,}")

        return update


def table_lines(table: Table) -> list[str]:
    """Format a table in aligned columns, numbers to the right."""
    numbers = [not any(isinstance(row[at], str) for row in table.rows) for at in range(len(table.columns))]
    lines = [list(table.columns), *([_cell(value) for value in row] for row in table.rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(table.columns))]
    laid_out = []
    for line in lines:
        cells = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ]
        laid_out.append("  ".join(cells).rstrip())
    return laid_out


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
