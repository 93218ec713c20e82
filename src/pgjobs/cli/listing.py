"""How list commands print what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pgjobs.cli.output import Column, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def print_list(
    found: Sequence[T], columns: Sequence[Column], row: Callable[[T], Sequence[str]], *, empty: str, as_json: bool
) -> None:
    """Print what a list command found: as JSON, or as a table with one row for each. `empty`: the line for no rows."""
    if as_json:
        print_json(found)
    else:
        print_table(columns, [row(each) for each in found], empty=empty)
