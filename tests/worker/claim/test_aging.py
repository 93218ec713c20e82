"""Aging: what has waited long enough is served as if its priority were higher, and nothing is left out by that."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import enqueue, enqueue_many
from pgjobs.admin import set_queue_aging
from pgjobs.flow.aging import BEGINNING, LEVELS, Place
from pgjobs.worker.claim.cursor import PRIORITIES, SLICE, SWEEP_EVERY, ClaimCursor
from tests.support import tasks
from tests.support.worker import scalar, wait_for, work
from tests.worker.claim.test_cursor import CHANGES, COSTS, NOW, Table

if TYPE_CHECKING:
    import psycopg

pytestmark = pytest.mark.in_turns(3)


class AgingTable(Table):
    """The model of a queue, claimed range by range, as the statement does it."""

    def claim(self, cursor: ClaimCursor, wanted: int, now: float, cost: float = 0.001) -> int:
        return len(self.taken(cursor, wanted, now, cost))

    def taken(
        self, cursor: ClaimCursor, wanted: int, now: float, cost: float = 0.001
    ) -> list[tuple[int, datetime, int]]:
        clock = NOW + timedelta(seconds=now)
        look = cursor.start(now, clock)
        found: list[tuple[int, datetime, int]] = []
        for priority, start, until in zip(look.priorities, look.places, look.untils, strict=True):
            here = (row for row in self.rows if row[0] == priority and row[1:] >= start and row[1] <= min(until, clock))
            found += sorted(here)[: wanted - len(found)]
        assert len(set(found)) == len(found), "a row was found in two ranges"
        self.rows -= set(found)
        last: dict[int, Place] = defaultdict(lambda: BEGINNING)
        for row in found:
            last[row[0]] = max(last[row[0]], (row[1], row[2]))
        cursor.claimed(last, full=len(found) >= wanted, began=now, now=now + cost, clock=clock)
        return found


def aging_frontier(aging: float) -> ClaimCursor:
    cursor = ClaimCursor()
    cursor.aging = timedelta(seconds=aging)
    return cursor


@given(CHANGES, COSTS, st.sampled_from([0.5, 10, 70, 1e6]))
def test_no_due_row_is_overlooked_forever(
    changes: list[tuple[str, int, Any]], costs: list[float], aging: float
) -> None:
    table, cursor, now, cost = AgingTable(), aging_frontier(aging), 0.0, cycle(costs)
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


@given(CHANGES, st.lists(st.sampled_from([None, 1.0, 50.0]), min_size=1, max_size=10))
def test_an_aging_that_is_set_and_taken_back_all_the_time_loses_nothing(
    changes: list[tuple[str, int, Any]], agings: list[float | None]
) -> None:
    table, cursor, now, aging = AgingTable(), ClaimCursor(), 0.0, cycle(agings)
    for kind, first, second in changes:
        seconds = next(aging)
        cursor.aging = None if seconds is None else timedelta(seconds=seconds)
        if kind == "add":
            table.add(first, second)
        else:
            now += second
            table.claim(cursor, first, now)
    for _ in range(200):
        now += SWEEP_EVERY + 0.1
        table.claim(cursor, 1000, now, SLICE / 10)
    assert not table.rows


@pytest.mark.parametrize("aging", [None, 10.0])
def test_a_flood_of_the_first_priority_lets_the_last_one_through_only_with_aging(aging: float | None) -> None:
    """More comes than can be done, forever: ten a second, of which five are claimed."""
    table, cursor = AgingTable(), ClaimCursor()
    cursor.aging = None if aging is None else timedelta(seconds=aging)
    late = (9, NOW, 0)
    table.rows.add(late)
    for step in range(2000):
        now = step / 10
        table.next_id += 1
        table.rows.add((0, NOW + timedelta(seconds=now), table.next_id))
        if step % 2 and late in table.taken(cursor, 1, now):
            assert aging
            assert 90 <= now < 92.5
            return
    assert aging is None
    assert late in table.rows


def test_a_flood_of_the_last_priority_does_not_starve_the_first_one() -> None:
    """What has waited longest is at level 0 as well, and there is more of it than can be done."""
    table, cursor = AgingTable(), aging_frontier(0.1)
    for _ in range(500):
        table.next_id += 1
        table.rows.add((9, NOW - timedelta(seconds=5), table.next_id))
    first = (0, NOW, 0)
    table.rows.add(first)
    taken = [table.taken(cursor, 1, step / 10)[0] for step in range(30)]
    assert first in taken[:LEVELS]
    assert len({*taken}) == 30


@given(CHANGES)
def test_without_aging_a_claim_looks_at_what_it_always_did(changes: list[tuple[str, int, Any]]) -> None:
    table, cursor, now = Table(), ClaimCursor(), 0.0
    for kind, first, second in changes:
        if kind == "add":
            table.add(first, second)
            continue
        now += second
        table.claim(cursor, first, now)
        look = cursor.start(now, NOW)
        assert look.priorities is PRIORITIES
        assert look.order is None


FLOOD = ("-q", "flood:2")


@pytest.mark.parametrize("aging", [0.3, None])
def test_what_can_wait_is_served_in_time_with_aging_and_not_without(
    database_url: str, conn: psycopg.Connection, aging: float | None
) -> None:
    """More urgent jobs come than can be done, for as long as it takes; each takes 20 ms of one of two slots."""
    if aging:
        set_queue_aging(conn, "flood", aging)
    low = enqueue(conn, tasks.nothing.options(queue="flood", priority=9)).id
    urgent = tasks.nap.options(queue="flood", priority=0)
    enqueue_many(conn, urgent, [(0.02,)] * 1000)
    conn.execute("UPDATE pgjobs.jobs SET run_at = run_at - interval '1 s' WHERE priority = 0")
    done = "(SELECT status = 'completed' FROM pgjobs.jobs WHERE id = %s)"
    with work(database_url, *FLOOD) as running:
        deadline = time.monotonic() + 4.5
        while time.monotonic() < deadline and not scalar(conn, f"SELECT {done}", [low]):
            enqueue_many(conn, urgent, [(0.02,)] * 25)
            time.sleep(0.1)
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs WHERE status = 'completed')", log=lambda: running.output)
        assert scalar(conn, f"SELECT {done}", [low]) is bool(aging)
        assert scalar(conn, "SELECT count(*) > 100 FROM pgjobs.jobs_live WHERE status = 'queued' AND run_at <= now()")
        if aging:  # nothing lifted it before its time
            waited = scalar(
                conn, "SELECT extract(epoch FROM started_at - run_at) FROM pgjobs.jobs WHERE id = %s", [low]
            )
            assert 9 * aging - 0.3 <= waited


def test_an_aging_that_is_set_while_they_wait_holds_within_a_second(
    database_url: str, conn: psycopg.Connection
) -> None:
    low = enqueue(conn, tasks.nothing.options(queue="flood", priority=9)).id
    enqueue_many(conn, tasks.nap.options(queue="flood", priority=0), [(0.02,)] * 2000)
    conn.execute("UPDATE pgjobs.jobs SET run_at = run_at - interval '1 min'")
    with work(database_url, *FLOOD) as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs WHERE status = 'completed')", log=lambda: running.output)
        time.sleep(0.3)
        assert scalar(conn, "SELECT status = 'queued' FROM pgjobs.jobs WHERE id = %s", [low])
        set_queue_aging(conn, "flood", 1)
        wait_for(conn, f"(SELECT status = 'completed' FROM pgjobs.jobs WHERE id = {low})", 4, lambda: running.output)
