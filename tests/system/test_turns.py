"""Tests that take turns all have theirs."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tests.support.turns import has_its_turn, leave_out


@pytest.mark.parametrize("of", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 7, 40])
def test_each_name_has_its_turn_once_in_as_many_days_as_there_are_turns(of: int, count: int) -> None:
    names = [f"name {number}" for number in range(count)]
    turns = [has_its_turn(names, of, day) for day in range(20_788, 20_788 + of)]

    assert Counter(name for turn in turns for name in turn) == Counter(names)
    assert max(map(len, turns)) - min(map(len, turns)) <= 1


def test_the_order_of_the_names_changes_no_turn() -> None:
    names = [f"name {number}" for number in range(10)]

    assert has_its_turn(names, 3, 5) == has_its_turn(reversed(names), 3, 5)


class Item(NamedTuple):
    """A test as a run has collected it."""

    nodeid: str
    of: int | None = None

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return None if self.of is None else pytest.Mark(name, (self.of,), {}, _ispytest=True)


ALWAYS = Item("tests/test_a.py::test_always")
ITEMS = [ALWAYS, *(Item(f"tests/test_{file}.py::test_turn[{n}]", 2) for file in "ab" for n in range(4))]


def run_of(monkeypatch: pytest.MonkeyPatch, turn: str, *arguments: str, keyword: str = "") -> list[Item]:
    """Return what a run with these arguments takes of the items, in its order."""
    left_out: list[Item] = []
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    config: Any = SimpleNamespace(option=SimpleNamespace(keyword=keyword), args=[*arguments], hook=hook)
    items: Any = [*ITEMS]
    monkeypatch.setenv("TURN", turn)
    leave_out(config, items)
    assert {*items, *left_out} == {*ITEMS}
    assert len(items) + len(left_out) == len(ITEMS)
    return list(items)


def test_a_run_takes_its_turn_of_each_file_and_what_has_no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = run_of(monkeypatch, "8", "tests"), run_of(monkeypatch, "9", "tests")

    assert one[0] == ALWAYS
    assert [item.nodeid[11] for item in one[1:]] == ["a", "a", "b", "b"]
    assert {*one} & {*other} == {ALWAYS}
    assert {*one} | {*other} == {*ITEMS}


def test_files_of_one_test_do_not_all_have_the_same_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ITEMS", [Item(f"tests/test_{n}.py::test_it", 2) for n in range(20)])

    assert 5 <= len(run_of(monkeypatch, "8", "tests")) <= 15


def test_a_run_of_all_or_of_named_tests_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_of(monkeypatch, "all", "tests") == ITEMS
    assert run_of(monkeypatch, "8", "tests/test_a.py::test_turn") == ITEMS
    assert run_of(monkeypatch, "8", "tests/test_a.py") == ITEMS
    assert run_of(monkeypatch, "8", "tests", keyword="turn") == ITEMS
