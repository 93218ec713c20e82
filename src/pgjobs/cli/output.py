"""What commands print: tables, pairs, JSON. Colours and fitting to the width on a terminal, plain text elsewhere."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pgjobs.cli.terminal import rich_table
from pgjobs.core.text import escape_unprintable, short_duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `share`: its part of the remaining width (0: as wide as its cells)."""

    title: str
    right: bool = False
    share: int = 0


def print_json(value: object) -> None:
    """Print dataclasses, lists and dictionaries of them as JSON."""
    text = json.dumps(value, default=_jsonable, indent=2, ensure_ascii=False)
    sys.stdout.write(escape_unprintable(text) + "\n")


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print a table, or the line `empty` on stderr if there are no rows. An empty last column is left out."""
    if not rows:
        note(empty)
        return
    # The last column of a list is often the error: without errors, its width is better used.
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    cleaned = [[clean(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        rich_table(columns, cleaned)
    else:
        sys.stdout.write(plain_table(columns, cleaned))


def plain_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Format a table for files and pipes: aligned, nothing cut off."""
    lines = [[column.title for column in columns], *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    text = []
    for line in lines:
        cells = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        )
        text.append("  ".join(cells).rstrip() + "\n")
    return "".join(text)


def print_pairs(pairs: Sequence[tuple[str, str | None]]) -> None:
    """Print names and values, one pair per line. A value of None is left out."""
    given = [(name, value) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in given), default=0)
    for name, value in given:
        sys.stdout.write(f"{name.ljust(width)}  {clean(value)}\n")


def say(line: str) -> None:
    """Print a line of the command's result."""
    sys.stdout.write(clean(line) + "\n")


def note(line: str) -> None:
    """Print a line beside the result, to stderr."""
    sys.stderr.write(clean(line) + "\n")


def clean(text: str) -> str:
    """Return one line that cannot move the cursor or colour the terminal: text from jobs may contain anything."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def when(moment: datetime | None) -> str | None:
    """Write a moment in the time zone of this terminal."""
    if moment is None:
        return None
    try:
        return moment.astimezone().isoformat(sep=" ", timespec="milliseconds")
    except OverflowError:  # near year 9999
        return moment.isoformat(sep=" ", timespec="seconds")


def distance(moment: datetime, now: datetime) -> str:
    """Write how far a moment is from now.

    >>> from datetime import UTC, datetime
    >>> distance(datetime(2026, 1, 1, 12, 0, tzinfo=UTC), datetime(2026, 1, 1, 12, 5, tzinfo=UTC))
    '5m ago'

    """
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return f"in {short_duration(-seconds)}"
    return f"{short_duration(seconds)} ago"


def size(number: int) -> str:
    """Write a number of bytes.

    >>> size(8192), size(3_500_000_000)
    ('8 kB', '3.3 GB')

    """
    amount, unit = number / 1024, "kB"
    for larger in ("MB", "GB", "TB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "kB" else f"{amount:.1f} {unit}"


def _jsonable(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, date):  # includes datetime
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
