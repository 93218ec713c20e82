"""Where a claim begins to look, so that it is quick and overlooks nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import cycle
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.worker.claim.cursor import BEGINNING, NEAR, SLICE, SWEEP_EVERY, SWEEP_SHARE, ClaimCursor

BASE = datetime(2026, 1, 1, tzinfo=UTC)


class Table:
    """A model of a queue in the table: due rows, claimed in order from the frontier's places."""

    def __init__(self) -> None:
        self.rows: set[tuple[int, datetime, int]] = set()
        self.next_id = 1

    def add(self, priority: int, second: int) -> None:
        self.rows.add((priority, BASE + timedelta(seconds=second), self.next_id))
        self.next_id += 1

    def claim(self, cursor: ClaimCursor, wanted: int, now: float, cost: float = 0.001) -> int:
        clock = NOW + timedelta(seconds=now)
        look = cursor.start(now, clock)
        found = sorted(
            row for row in self.rows if (row[1], row[2]) >= look.places[row[0]] and row[1] <= look.untils[row[0]]
        )[:wanted]
        self.rows -= set(found)
        last = {row[0]: (row[1], row[2]) for row in found}
        cursor.claimed(last, full=len(found) >= wanted, began=now, now=now + cost, clock=clock)
        return len(found)


NOW = BASE + timedelta(seconds=200)  # all rows of the model are due
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 9), st.integers(0, 100)),
        st.tuples(st.just("claim"), st.integers(1, 5), st.floats(0.001, 1.0)),
    ),
    max_size=60,
)
COSTS = st.lists(st.sampled_from([SLICE / 10, SLICE / 2, SLICE * 3]), min_size=1, max_size=20)


@given(CHANGES, COSTS)
def test_no_due_row_is_overlooked_forever(changes: list[tuple[str, int, Any]], costs: list[float]) -> None:
    """Rows may come in any place, also behind the frontier; claims find them all, whatever the sweeps cost."""
    table, cursor, now, cost = Table(), ClaimCursor(), 0.0, cycle(costs)
    for kind, first, second in changes:
        if kind == "add":
            table.add(first, second)
        else:
            now += second
            table.claim(cursor, first, now, next(cost))
    while table.rows:
        left = len(table.rows)
        for _ in range(200):  # a pass in slices
            now += SWEEP_EVERY + 0.1
            table.claim(cursor, 3, now, SLICE / 10)
        assert len(table.rows) < left


@given(CHANGES)
def test_where_sweeps_are_quick_each_takes_the_first_rows_of_all(changes: list[tuple[str, int, Any]]) -> None:
    table, cursor, now = Table(), ClaimCursor(), 0.0
    for kind, first, second in changes:
        if kind == "add":
            table.add(first, second)
            continue
        now += second
        before = sorted(table.rows)
        claimed = table.claim(cursor, first, now)
        if cursor.sweeping:
            assert sorted(table.rows) == before[claimed:]
            assert claimed == min(first, len(before))


def test_sweeps_look_back_two_seconds_however_slow_they_are() -> None:
    """Each costs more than a slice should, as on a busy machine; a row that commits a second late must not wait."""
    table, cursor, now = Table(), ClaimCursor(), 0.0
    for _ in range(200):
        now += 0.5
        table.add(5, -100)  # the pass is never at its end before there is something to find again
        table.claim(cursor, 100, now, SLICE * 10)
    late = (5, NOW + timedelta(seconds=now - 1), table.next_id)
    table.rows.add(late)
    for _ in range(3):
        now += 0.3
        table.claim(cursor, 100, now, SLICE * 10)
    assert late not in table.rows


def test_after_a_look_that_took_very_long_slices_begin_at_once() -> None:
    """Somebody holds a snapshot, and a fresh worker looks at everything: 20 times that long would be blind."""
    cursor = ClaimCursor()
    cursor.start(1.0, NOW)
    cursor.claimed({}, full=False, began=1.0, now=3.0, clock=NOW)
    assert cursor.next_sweep <= 3.0 + SWEEP_SHARE * SLICE
    assert cursor.start(cursor.next_sweep, NOW).places[0] > BEGINNING


@given(CHANGES, COSTS)
def test_an_empty_queue_is_told_only_after_everything_was_looked_at(
    changes: list[tuple[str, int, Any]], costs: list[float]
) -> None:
    table, cursor, now, cost = Table(), ClaimCursor(), 0.0, cycle(costs)
    added = math.inf  # when the last row came
    for kind, first, second in changes:
        if kind == "add":
            table.add(first, second)
            added = now
        else:
            now += second
            table.claim(cursor, first, now, next(cost))
            if cursor.empty_since > added:
                assert not table.rows


def test_the_first_claim_looks_at_everything() -> None:
    cursor = ClaimCursor()
    look = cursor.start(1.0, NOW)
    assert cursor.sweeping
    assert look.places == [BEGINNING] * 10
    assert min(look.untils) > NOW


def test_claims_after_a_full_one_start_where_it_left_off_until_the_next_sweep_is_due() -> None:
    cursor = ClaimCursor()
    cursor.start(1.0, NOW)
    cursor.claimed({5: (BASE, 7)}, full=True, began=1.0, now=1.001, clock=NOW)
    look = cursor.start(1.1, NOW)
    assert not cursor.sweeping
    assert look.places[5] == (BASE, 7)
    assert look.places[6] == BEGINNING, "nobody has looked there"
    cursor.start(1.001 + SWEEP_EVERY + 0.001, NOW)
    assert cursor.sweeping


@pytest.mark.parametrize("full", [True, False])
def test_priorities_that_were_used_up_are_looked_at_from_just_before_now_on(full: bool) -> None:
    cursor = ClaimCursor()
    cursor.start(1.0, NOW)
    cursor.claimed({5: (BASE, 7)}, full=full, began=1.0, now=1.001, clock=NOW)
    places = cursor.start(1.002, NOW + timedelta(seconds=10)).places
    assert not cursor.sweeping
    assert places[4] == (NOW - NEAR, 0)
    assert places[6] == (BEGINNING if full else (NOW - NEAR, 0))


def test_no_claim_starts_later_than_just_before_now() -> None:
    """Transactions that run side by side commit out of order: one may come that is a bit older than what was taken."""
    cursor = ClaimCursor()
    cursor.start(1.0, NOW)
    cursor.claimed({5: (NOW, 7)}, full=False, began=1.0, now=1.001, clock=NOW)
    assert cursor.start(1.002, NOW).places[5] == (NOW - NEAR, 0)


@pytest.mark.parametrize("cost", [0.001, 0.01, 0.04])
def test_sweeps_take_a_twentieth_of_the_time(cost: float) -> None:
    cursor = ClaimCursor()
    cursor.start(1.0, NOW)
    cursor.claimed({}, full=False, began=1.0, now=1.0 + cost, clock=NOW)
    cursor.start(1.0 + cost + SWEEP_SHARE * cost * 0.99, NOW)
    assert not cursor.sweeping


def test_among_dead_rows_sweeps_go_back_slice_by_slice_and_every_second_one_looks_at_what_is_recent() -> None:
    """Ten minutes of dead rows, each second of which costs a sweep a millisecond."""
    cursor, now, deepest, recent, costly = ClaimCursor(), 1.0, 0.0, 0, []
    for _ in range(1_500):
        clock = NOW + timedelta(seconds=now)
        look = cursor.start(now, clock)
        ages = [(clock - max(time, clock - timedelta(seconds=600))).total_seconds() for time, _ in look.places]
        until = max(0.0, (clock - look.untils[5]).total_seconds())
        cost = max(0.0, ages[5] - until) / 1000
        if cursor.sweeping:
            deepest = max(deepest, (clock - look.places[5][0]).total_seconds())
            recent += not until
            costly.append(cost)
        cursor.claimed({}, full=False, began=now, now=now + cost, clock=clock)
        now = max(now + cost, cursor.next_sweep) + 1e-6
    assert deepest > 86_400 * 365, "it got to the end"
    assert 0.4 < recent / len(costly) < 0.6
    settled = costly[50:]
    assert median(settled) <= 2 * SLICE
    assert max(settled) < 6 * SLICE, "all at once it would be 300"


def test_who_asks_to_look_everywhere_gets_one_full_scan_although_all_sweeps_have_been_slow() -> None:
    table, cursor, now = Table(), ClaimCursor(), 0.0
    for _ in range(20):
        now += 10.0
        table.claim(cursor, 5, now, cost=0.3)
    assert cursor.empty_since < now - 10.0  # a scan in slices is under way
    cursor.look_everywhere()
    table.add(0, 1)
    assert table.claim(cursor, 5, now + 0.4, cost=0.3) == 1
    cursor.look_everywhere()
    assert table.claim(cursor, 5, now + 1.0, cost=0.3) == 0
    assert cursor.empty_since == now + 1.0
