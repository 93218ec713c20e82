"""Aging: the ranges in which jobs are looked for, and their levels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.flow.aging import END_OF_TIME, LEVELS, Order, level, ranges

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRIORITIES = list(range(10))
AGINGS = st.builds(lambda seconds: timedelta(seconds=seconds), st.one_of(st.floats(0.01, 500), st.just(1e9)))
AGES = st.lists(st.tuples(st.integers(0, 9), st.floats(-10, 1e5)), max_size=30)


@given(AGES, AGINGS, st.integers(0, 1000))
def test_each_job_is_in_one_range_and_levels_come_in_their_order(
    ages: list[tuple[int, float]], aging: timedelta, turn: int
) -> None:
    found = ranges(NOW, aging, turn=turn)
    order = Order(found)
    jobs = [(priority, NOW - timedelta(seconds=age)) for priority, age in ages]
    positions = []
    for priority, run_at in jobs:
        inside = [at for at, r in enumerate(found) if r[0] == priority and r.start <= (run_at, 1) and run_at <= r.until]
        assert inside == [order.position(priority, run_at)]
        positions.append((inside[0], level(priority, run_at, NOW, aging)))
    levels = [served for _, served in sorted(positions)]
    # A level ends with the job that is due for exactly so long, which belongs to the one before.
    assert levels == sorted(levels)


@pytest.mark.parametrize(
    ("priority", "age", "expected"),
    [(9, -5, 9), (9, 0, 9), (9, 9.9, 9), (9, 10, 8), (9, 89, 1), (9, 90, 0), (9, 9000, 0), (0, 50, 0), (5, 25, 3)],
)
def test_a_level_is_the_priority_less_the_agings_that_a_job_has_waited(
    priority: int, age: float, expected: int
) -> None:
    assert level(priority, NOW - timedelta(seconds=age), NOW, timedelta(seconds=10)) == expected


def test_within_a_level_the_priorities_that_waited_longest_come_first() -> None:
    found = ranges(NOW, timedelta(seconds=10))
    assert [r.priority for r in found[:LEVELS]] == PRIORITIES
    assert [r.priority for r in found[LEVELS : LEVELS + 9]] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert len(found) == 55


def test_at_level_0_the_priorities_take_turns() -> None:
    firsts = [ranges(NOW, timedelta(seconds=10), turn=turn)[0].priority for turn in range(20)]
    assert firsts == [*PRIORITIES, *PRIORITIES]


def test_where_the_places_are_near_now_there_are_no_more_ranges_than_priorities() -> None:
    near = (NOW - timedelta(seconds=0.1), 0)
    found = ranges(NOW, timedelta(seconds=1), starts=[near] * LEVELS)
    assert [r.priority for r in found] == PRIORITIES
    assert {r.start for r in found} == {near}
    assert {r.until for r in found} == {END_OF_TIME}


def test_an_aging_longer_than_time_itself_changes_no_order() -> None:
    found = ranges(NOW, timedelta(seconds=1e9), starts=[(NOW - timedelta(days=1), 0)] * LEVELS)
    assert [r.priority for r in found] == PRIORITIES
