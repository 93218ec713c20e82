"""Tests that take turns: of what would take too long for every run, each day has another part.

`@pytest.mark.in_turns(4)`: of the tests of a module that have this mark, a fourth runs, and all of them do within four
days. The number of the day is printed, and TURN=20788 repeats it; TURN=all runs everything (`make test-whole`), and so
does a run of files or tests that are named (`test_file.py`, `file::test`, `-k`).
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

VARIABLE = "TURN"
DAY = 86_400  # seconds


def choose_turn() -> None:
    """Take the turn of the day, unless one is given; the processes of this run inherit it."""
    os.environ.setdefault(VARIABLE, str(int(time.time() // DAY)))


def turn() -> int | None:
    """Return the number of the turn, None for all."""
    given = os.environ[VARIABLE]
    return None if given == "all" else int(given)


def has_its_turn(names: Iterable[str], of: int, number: int) -> set[str]:
    """Return those whose turn it is: every `of`th in the order of the names, another one for each number."""
    return {name for place, name in enumerate(sorted(names)) if (place + number) % of == 0}


def _names_tests(argument: str) -> bool:
    return "::" in argument or argument.endswith(".py")


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the tests whose turn it is not."""
    number = turn()
    if number is None or config.option.keyword or any(_names_tests(argument) for argument in config.args):
        return
    groups: dict[tuple[str, int], list[str]] = defaultdict(list)
    group_of: dict[str, tuple[str, int]] = {}
    for item in items:
        if mark := item.get_closest_marker("in_turns"):
            group_of[item.nodeid] = item.nodeid.partition("::")[0], mark.args[0]
            groups[group_of[item.nodeid]].append(item.nodeid)
    chosen: set[str] = set()
    for (file, of), names in groups.items():
        # The files begin at different turns: of those with a single test, each day has its share.
        chosen |= has_its_turn(names, of, number + crc32(file.encode()))
    left_out = [item for item in items if item.nodeid in group_of and item.nodeid not in chosen]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid not in group_of or item.nodeid in chosen]
