"""Digests of values: the same for equal ones, another for all else."""

from __future__ import annotations

import enum
import subprocess
import sys
import uuid
from collections import namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import UsageError
from pgjobs.flow.digest import digest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


class Plan(enum.Enum):
    FREE = 1
    PAID = 2


@dataclass
class Box:
    size: int
    seen: int = field(default=0, compare=False)


@dataclass
class Crate:
    size: int


Pair = namedtuple("Pair", "left right")


def kinds(value: Any) -> Any:
    """Return what distinguishes a value: equal ones of different types are different here."""
    if isinstance(value, list):
        return ("list", *map(kinds, value))
    if isinstance(value, dict):
        return ("dict", frozenset((key, kinds(item)) for key, item in value.items()))
    return (type(value).__name__, repr(value))


@given(VALUES, VALUES)
def test_two_digests_are_the_same_exactly_where_the_values_are(left: Any, right: Any) -> None:
    assert (digest(left) == digest(right)) == (kinds(left) == kinds(right))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([1, (2,)], (1, [2])),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2, 300}, frozenset([300, 2, 1])),
        (b"x", bytearray(b"x")),
        (Pair(1, 2), [1, 2]),
        (Box(1, seen=2), Box(1, seen=3)),
        (datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))),
        (timedelta(days=1), timedelta(hours=24)),
        ("".join(["a", "b"]), "ab"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_equal_values_have_the_same(left: Any, right: Any) -> None:
    assert digest(left) == digest(right)


def test_values_of_different_kinds_have_different_ones() -> None:
    values: list[Any] = [
        *(1, 1.0, True, "1", b"1", Decimal(1), [1], {1}, {1: 1}, [[1]], [1, 1], ["1", "1"], ["11"], None, "", [], {}),
        *(Plan.FREE, Plan.PAID, Box(1), Crate(1), Box, Crate, uuid.UUID(int=1), PurePosixPath("1"), timedelta(1)),
        *(date(2030, 1, 1), datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=UTC), time(1)),  # noqa: DTZ001 (one is naive)
    ]
    assert len({digest(value) for value in values}) == len(values)


def test_it_is_the_same_in_another_process() -> None:
    program = "from pgjobs.flow.digest import digest; print(digest([1, {'b': {'x', 'y', 'z'}, 'a': None}]))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == digest([1, {"a": None, "b": {"z", "y", "x"}}])


def test_what_cannot_be_compared_or_is_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    for value, said in (
        (object(), "a object cannot"),
        ([lambda: 1], "a function cannot"),
        (deep, "nested too deeply"),
    ):
        with pytest.raises(UsageError, match=said):
            digest(value)
