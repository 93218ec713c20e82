"""A column of what commands list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `share`: how much of the width that is left it takes (0: as wide as its cells)."""

    title: str
    right: bool = False
    share: int = 0
