"""Runs of lanes without room: walks jump over them, and what is in them is found as soon as there is room."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.admin import set_limit, set_queue_aging
from pgjobs.flow.limits import LimitSettings
from pgjobs.worker.claim.arrivals import BACK, Arrivals
from pgjobs.worker.claim.blocked_runs import KEYED_FOR, OTHERS_FOR, BlockedRuns, LaneRun, behind
from pgjobs.worker.claim.lane_rotation import FIRST, LAST, BlockedLanes, LaneRange, LaneRotation
from tests.support.functions import add
from tests.support.worker import QUICK, scalar, wait_for, work

NOW = datetime(2026, 1, 1, tzinfo=UTC)
API = ["limit:api"]
WAITING = "(SELECT count(*) FROM pgjobs.jobs WHERE status = 'waiting')"


def run(first: str, last: str, keys: list[str] | None = None, took: float = 0.0, now: float = 100.0) -> LaneRun:
    return LaneRun.seen(5, first, last, keys, 1.0, took, now)


@pytest.fixture
def runs() -> BlockedRuns:
    runs = BlockedRuns()
    runs.add(run("g", "k", API), behind_last=None, now=100.0)
    return runs


@pytest.mark.parametrize(
    ("since", "until", "gaps"),
    [
        (FIRST, LAST, [(FIRST, "g"), (behind("k"), LAST)]),
        ("h", LAST, [(behind("k"), LAST)]),
        ("a", "c", [("a", "c")]),
        ("a", "g", [("a", "g")]),
        ("h", "i", []),
        ("x", LAST, [("x", LAST)]),
    ],
)
def test_what_is_left_of_a_range_ends_where_a_run_begins_and_continues_behind_it(
    runs: BlockedRuns, since: str, until: str | None, gaps: list[tuple[str, str | None]]
) -> None:
    assert list(runs.gaps(5, since, until, set())) == gaps
    assert list(runs.gaps(4, since, until, set())) == [(since, until)]


def test_a_run_is_looked_at_while_one_of_its_limits_has_room(runs: BlockedRuns) -> None:
    assert list(runs.gaps(5, FIRST, LAST, {"limit:other"})) != [(FIRST, LAST)]
    assert list(runs.gaps(5, FIRST, LAST, {"limit:api"})) == [(FIRST, LAST)]


def test_a_run_that_begins_right_behind_another_one_continues_it(runs: BlockedRuns) -> None:
    runs.add(run("m", "p", ["breaker:b"]), behind_last="k", now=100.0)
    assert list(runs.gaps(5, FIRST, LAST, set())) == [(FIRST, "g"), (behind("p"), LAST)]
    assert runs.keys(100.0).keys() == {"limit:api", "breaker:b"}
    runs.add(run("r", "t", None), behind_last="p", now=100.0)
    assert runs.keys(100.0) == {}
    runs.add(run("s", "z", API), behind_last=None, now=100.0)  # it replaces what it overlaps
    assert list(runs.gaps(5, FIRST, LAST, set())) == [(FIRST, "s"), (behind("z"), LAST)]


@pytest.mark.parametrize(("keys", "took", "lasts"), [(API, 0.0, KEYED_FOR), (None, 0.0, OTHERS_FOR), (None, 1.0, 20.0)])
def test_a_run_is_forgotten_after_a_time_in_proportion_to_the_look_at_it(
    keys: list[str] | None, took: float, lasts: float
) -> None:
    runs = BlockedRuns()
    runs.add(run("g", "k", keys, took), behind_last=None, now=100.0)
    runs.keys(100.0 + lasts - 0.1)
    assert len(runs) == 1
    runs.keys(100.0 + lasts)
    assert not len(runs)


def test_a_walk_leaves_out_what_it_has_seen_and_looks_at_single_lanes_in_it() -> None:
    rotation = LaneRotation()
    (whole, *_) = rotation.plan_claim(10, worst=0, clock=NOW).ranges
    seen = BlockedLanes(1, "g", "k", API, 1.0, at_start=False)
    rotation.record_claim([], 10, began=100.0, now=100.1, ended_at=(1, "k"), blocked=[seen])
    rest = [whole._replace(since=behind("k"))]
    assert rotation.plan_claim(10, worst=0, clock=NOW).ranges == rest
    rotation.record_claim([], 10, began=100.2, now=100.3)
    rotation.wake_now([(0, "h")])
    freed = LaneRange(0, "h", "h", whole.due)
    assert rotation.plan_claim(10, worst=0, clock=NOW).ranges == [freed, whole._replace(until="g"), *rest]
    rotation.record_claim([(0, "h")], 10, began=100.4, now=100.5)  # it may have more
    assert rotation.plan_claim(10, worst=0, clock=NOW, with_room=API).ranges == [freed, whole]


def test_a_walk_in_several_claims_tells_what_was_empty_when_it_began() -> None:
    rotation = LaneRotation()
    rotation.plan_claim(10, worst=9, clock=NOW)
    rotation.record_claim([], 10, began=100.0, now=100.1, ended_at=(1, "k"))
    assert rotation.empty_since == 0.0
    rotation.plan_claim(10, worst=9, clock=NOW)
    rotation.record_claim([], 10, began=100.5, now=100.6)
    assert rotation.empty_since == 100.0


def test_a_lane_is_new_as_often_as_a_job_with_a_new_id_is_seen_in_it() -> None:
    arrivals = Arrivals()
    assert arrivals.fresh([(5, "a", 7), (5, "b", 9), (None, None, 9)], 100.0) == [(5, "a"), (5, "b")]
    assert arrivals.fresh([(5, "a", 7), (5, "b", 10), (None, None, 10)], 100.1) == [(5, "b")]
    assert arrivals.fresh([(5, "c", 8), (None, None, 10)], 100.2) == [(5, "c")]  # it was committed late
    assert arrivals.after == 0
    arrivals.fresh([(None, None, 12)], 100.0 + BACK)
    assert arrivals.after == 9


@pytest.mark.parametrize("aging", [None, 60.0])
def test_behind_many_lanes_without_room_a_job_starts_at_once(
    conn: psycopg.Connection, database_url: str, aging: float | None
) -> None:
    set_limit(conn, "zero", LimitSettings(0))
    set_queue_aging(conn, "default", aging)
    blocked = enqueue_many(conn, add.options(fair_by="left", limit="zero"), [(n,) for n in range(900)])
    with work(database_url, "-q", "default:4", *QUICK) as running:
        time.sleep(2)  # they are looked at
        for number in range(40):
            enqueue(conn, add.options(fair_by="left"), 1000 + number * 200)  # in between, as text
            time.sleep(0.02)
        wait_for(conn, f"{WAITING} = {len(blocked)}", log=lambda: running.output)
    late = "percentile_cont(0.5) WITHIN GROUP (ORDER BY started_at - enqueued_at)"
    assert scalar(conn, f"SELECT {late} < '0.1 s' FROM pgjobs.jobs WHERE status = 'completed'")


def test_lanes_that_were_left_out_start_when_their_limit_has_room(conn: psycopg.Connection, database_url: str) -> None:
    set_limit(conn, "zero", LimitSettings(0))
    enqueue_many(conn, add.options(fair_by="left", limit="zero"), [(n,) for n in range(600)])
    with work(database_url, "-q", "default:4", *QUICK) as running:
        time.sleep(1)  # they are looked at
        set_limit(conn, "zero", LimitSettings(4))
        wait_for(conn, f"{WAITING} < 500", 2, log=lambda: running.output)
        wait_for(conn, f"{WAITING} = 0", log=lambda: running.output)
