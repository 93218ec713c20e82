"""Whose turn it is: the pure decisions, and the claim of what waits, on rows put there by SQL."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pgjobs import enqueue
from pgjobs.db.connection import connect_hot
from pgjobs.db.statements import statement
from pgjobs.worker.claim.blocked_runs import behind
from pgjobs.worker.claim.cursor import END_OF_TIME, EPOCH, PRIORITIES
from pgjobs.worker.claim.lane_claims import Lane, claim_lanes
from pgjobs.worker.claim.lane_rotation import (
    CHECK_EVERY,
    FIRST,
    IDLE_AFTER,
    LAST,
    LaneRange,
    LaneRotation,
    last_in_turn,
    next_quantum,
    steps,
)
from pgjobs.worker.config import QueueSlots
from pgjobs.worker.runtime.registration import register
from pgjobs.worker.runtime.settle import array
from tests.support.rows import put_dead, put_job, put_worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Given = list[tuple[int, str]]  # of each job that got a turn: its priority and its lane


# -- Decisions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lanes", "behind", "last"),
    [
        (["b", "c"], "a", "c"),
        (["c", "a"], "b", "a"),
        (["b"], "b", "b"),
        (["a"], FIRST, "a"),
        (["d", "a", "b"], "c", "b"),
    ],
)
def test_the_lane_that_had_its_turn_last_is_where_the_circle_ended(lanes: str, behind: str, last: str) -> None:
    assert last_in_turn(lanes, behind) == last


def test_a_pass_begins_behind_the_lane_that_had_the_last_turn_and_comes_back_to_it() -> None:
    turns = LaneRotation()
    turns.record_claim([(5, "m"), (5, "k")], demand=2, began=0.0, now=0.1)
    look = turns.plan_claim(2, worst=9, clock=NOW)
    ranges = [lane_range[:3] for lane_range in look.ranges if lane_range.priority == 5]
    assert ranges == [(5, behind("m"), LAST), (5, FIRST, "m")]
    assert [lane_range.priority for lane_range in look.ranges] == sorted(
        lane_range.priority for lane_range in look.ranges
    )


def test_a_walk_that_ended_before_its_time_continues_there_after_a_look_at_what_was_freed() -> None:
    turns = LaneRotation()
    turns.record_check(100.0, waiting=True)
    first = turns.plan_claim(1, worst=1, clock=NOW)
    turns.record_claim([], demand=1, began=100.0, now=100.01, ended_at=(1, "k"))
    assert turns.seconds_left(100.01) == pytest.approx(0.09)  # sooner than after all was seen
    assert turns.empty_since == 0.0
    turns.wake_now([(1, "a")])
    second = turns.plan_claim(1, worst=1, clock=NOW)
    assert [lane_range[:3] for lane_range in second.ranges] == [(1, "a", "a"), (0, behind("k"), LAST), (1, FIRST, LAST)]
    turns.record_claim([(1, "a")], demand=1, began=100.0, now=100.01, ended_at=None)
    assert turns.plan_claim(1, worst=1, clock=NOW).ranges == first.ranges  # it was out of turn, and moved nothing


def test_what_is_worse_than_plain_jobs_that_cannot_all_be_run_is_left_out() -> None:
    plan = LaneRotation().plan_claim(1, worst=3, clock=NOW)
    assert [lane_range.priority for lane_range in plan.ranges] == [0, 1, 2, 3]


def test_with_aging_what_has_waited_long_comes_before_better_priorities() -> None:
    found = steps(9, NOW, timedelta(minutes=1))
    assert found[0] == (0, NOW)
    assert found[1] == (1, NOW - timedelta(minutes=1))
    assert found.index((9, NOW - timedelta(minutes=9))) < found.index((1, NOW))
    assert steps(2, NOW, None) == [(0, END_OF_TIME), (1, END_OF_TIME), (2, END_OF_TIME)]
    assert steps(1, EPOCH, timedelta(minutes=1))[1] == (1, EPOCH)


def test_with_aging_priorities_for_which_no_job_has_waited_long_enough_are_left_out() -> None:
    minute = timedelta(minutes=1)
    found = steps(9, NOW, minute, {7: NOW - 2 * minute, 9: NOW - minute / 2})
    assert [step for step in found if step[0] == 7] == [
        (7, NOW - 2 * minute),
        (7, NOW - minute),
        (7, NOW),
    ]
    assert [step[0] for step in found if step[0] != 7] == [0, 1, 2, 3, 4, 5, 6, 8, 9]  # each as itself
    assert steps(9, NOW, None, {}) == steps(9, NOW, None)


def test_a_pass_in_vain_is_followed_by_a_rest_in_proportion_and_one_that_gave_turns_by_none() -> None:
    turns = LaneRotation()
    turns.record_check(100.0, waiting=True)
    assert turns.is_due(100.0)
    turns.record_claim([], demand=5, began=100.0, now=100.01)
    assert turns.seconds_left(100.01) == pytest.approx(0.2)
    turns.wake_now()
    assert turns.is_due(100.01)
    turns.record_claim([(0, "a")], demand=5, began=100.0, now=100.01)
    assert turns.is_due(100.01)


def test_a_queue_without_such_jobs_makes_no_passes_and_looks_once_a_second() -> None:
    turns = LaneRotation()
    turns.record_check(100.0, waiting=False)
    assert (turns.is_due(100.0), turns.seconds_left(100.0)) == (False, float("inf"))
    assert turns.next_check == 100.0 + CHECK_EVERY
    turns.record_check(101.0, waiting=True)
    assert turns.active(101.0 + IDLE_AFTER - 1)
    assert not turns.active(101.0 + IDLE_AFTER)


def test_one_lane_may_have_all_there_is_and_many_get_one_each() -> None:
    quantum = 1 << 20
    for _ in range(20):
        quantum = next_quantum(quantum, demand=100, given=100, lanes=1)
    assert quantum == 1
    for _ in range(10):
        quantum = next_quantum(quantum, demand=100, given=1, lanes=1)
    assert quantum >= 100


# -- The claim -------------------------------------------------------------------------------------------------------


@pytest.fixture
def worker(conn: psycopg.Connection) -> int:
    return register(conn, [QueueSlots("default")], rescue_after=30.0, pooled=False)


Claim = Callable[..., list[int]]


@pytest.fixture
def claim(database_url: str, worker: int) -> Iterator[Claim]:
    """Run the rotation once, and return the jobs that got one."""
    with connect_hot(database_url, application_name="turns") as hot:

        def claim(demand: int = 100, *, queue: str = "default", quantum: int = 100, last: str = FIRST) -> list[int]:
            return [row[0] for row in one_pass(hot, worker, demand, queue=queue, quantum=quantum, last=last)]

        yield claim


def one_pass(
    hot: psycopg.Connection,
    worker: int,
    demand: int = 100,
    *,
    queue: str = "default",
    quantum: int = 100,
    last: str = FIRST,
    most: int = 500,
    walk: list[LaneRange] | None = None,
) -> list[tuple[Any, ...]]:
    """Claim as a worker does, after the keys have got their rows; the last row says where a walk ended early."""
    shared = {"queue": queue, "demand": demand}
    while True:
        with hot.transaction():
            hot.execute(statement("release_due_waiting"), shared)
            values = {"quantum": quantum, "worker_id": worker, "counted_queue": None, **shared}
            lanes = picked_lanes(hot, {**shared, "most": most}, walk or whole_walk(last))
            missing = {key for lane in lanes for key in lane.missing or ()}
            if not missing:
                end = [(None, *lane[:2]) for lane in lanes if lane.is_locked is None]
                return claim_lanes(hot, [lane for lane in lanes if lane.is_locked], values) + end
        hot.execute(statement("add_key_locks"), {"keys": sorted(missing)})


def whole_walk(last: str = FIRST) -> list[LaneRange]:
    after = [LaneRange(priority, behind(last), LAST, END_OF_TIME) for priority in PRIORITIES]
    return after + [LaneRange(priority, FIRST, last, END_OF_TIME) for priority in PRIORITIES]


def picked_lanes(hot: psycopg.Connection, values: dict[str, Any], walk: list[LaneRange]) -> list[Lane]:
    ranges = {
        "priorities": array(each.priority for each in walk),
        "sinces": [each.since for each in walk],
        "untils": [each.until for each in walk],
        "dues": [each.due for each in walk],
    }
    return [
        Lane(*row)
        for row in hot.execute(
            statement("pick_lanes"),
            {"most": 500, "counted_queue": None, "in_haste": False, "full": [], **ranges, **values},
        ).fetchall()
    ]


def wait_in_lane(
    conn: psycopg.Connection,
    *,
    tenant: str = "",
    limit_key: str = "",
    sequence: str = "",
    breaker: str = "",
    **columns: Any,
) -> int:
    """Put a job there that waits for its turn."""
    lane = "\x1f".join((tenant, limit_key, sequence, breaker))
    keys = {"limit_key": limit_key or None, "sequence": sequence or None, "breaker": breaker or None}
    return put_job(conn, status="waiting", lane=lane, **keys, **columns)


def end(conn: psycopg.Connection, jobs: Sequence[int]) -> None:
    conn.execute("DELETE FROM pgjobs.jobs_live WHERE id = ANY (%s)", [list(jobs)])


def test_a_limit_lets_its_number_run_at_once_and_the_next_when_one_has_ended(
    conn: psycopg.Connection, claim: Claim
) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('k:a', 2)")
    jobs = [wait_in_lane(conn, limit_key="k:a") for _ in range(4)]
    assert sorted(claim()) == jobs[:2]
    assert claim() == []
    end(conn, jobs[:1])
    assert claim() == jobs[2:3]


def test_a_pattern_holds_for_each_key_by_itself_and_an_exact_name_goes_before_it(
    conn: psycopg.Connection, claim: Claim
) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('k:*', 1), ('k:b', 2)")
    a, b, free = (
        [wait_in_lane(conn, limit_key="k:a") for _ in range(3)],
        [wait_in_lane(conn, limit_key="k:b") for _ in range(3)],
        [wait_in_lane(conn, limit_key="other") for _ in range(3)],
    )
    assert sorted(claim()) == [a[0], *b[:2], *free]


def test_a_key_at_its_limit_does_not_hold_up_those_behind_it(conn: psycopg.Connection, claim: Claim) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('full', 0)")
    for _ in range(50):
        wait_in_lane(conn, limit_key="full")
    free = wait_in_lane(conn, limit_key="free", priority=9)
    assert claim() == [free]


def test_lanes_of_the_same_limit_share_it(conn: psycopg.Connection, claim: Claim) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('k', 3)")
    for number in range(10):
        wait_in_lane(conn, tenant=f"t{number}", limit_key="k", priority=number)
        wait_in_lane(conn, tenant=f"t{number}", limit_key="k", queue="other")
    assert len(claim()) + len(claim(queue="other")) == 3


def test_a_rate_gives_what_its_burst_allows_and_then_as_much_as_time_brings(
    conn: psycopg.Connection, claim: Claim
) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, rate, period, burst) VALUES ('k', 60, '1 minute', 4)")
    for _ in range(10):
        wait_in_lane(conn, limit_key="k")
    assert len(claim()) == 4
    assert claim() == []
    conn.execute("UPDATE pgjobs.buckets SET at = at - interval '2.5 s'")
    assert len(claim()) == 2
    conn.execute("UPDATE pgjobs.buckets SET at = at + interval '1 hour'")  # the server's clock was set back
    assert len(claim()) == 4


def test_what_a_job_costs_is_taken_from_the_tokens(conn: psycopg.Connection, claim: Claim) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, rate, period, burst) VALUES ('k', 1, '1 hour', 10)")
    jobs = [wait_in_lane(conn, limit_key="k", cost=cost) for cost in (4, 4, 4)]
    assert sorted(claim()) == jobs[:2]
    assert conn.execute("SELECT round(tokens) FROM pgjobs.buckets").fetchall() == [(2.0,)]


def test_expensive_job_starts_with_one_token_and_others_wait_for_its_debt(
    conn: psycopg.Connection, claim: Claim
) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, rate, period, burst) VALUES ('k', 1, '1 second', 10)")
    expensive, cheap = wait_in_lane(conn, limit_key="k", cost=25), wait_in_lane(conn, limit_key="k")
    assert claim() == [expensive]
    assert conn.execute("SELECT round(tokens) FROM pgjobs.buckets").fetchall() == [(-15.0,)]
    conn.execute("UPDATE pgjobs.buckets SET at = at - interval '14 s'")
    assert claim() == []
    conn.execute("UPDATE pgjobs.buckets SET at = at - interval '3 s'")
    assert claim() == [cheap]


def test_cheap_jobs_do_not_starve_an_expensive_one_of_the_same_limit(conn: psycopg.Connection, claim: Claim) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, rate, period, burst) VALUES ('k', 10, '1 second', 10)")
    for _ in range(30):
        wait_in_lane(conn, limit_key="k", tenant="cheap", priority=5)
    assert len(claim()) == 10
    expensive = wait_in_lane(conn, limit_key="k", tenant="expensive", priority=0, cost=5)
    conn.execute("UPDATE pgjobs.buckets SET at = at - interval '0.1 s'")
    assert claim() == [expensive]


def test_what_has_waited_long_counts_once_however_often_it_is_met(database_url: str, conn: psycopg.Connection) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, rate, period, burst) VALUES ('k', 100, '1 hour', 100)")
    jobs = [wait_in_lane(conn, limit_key="k", priority=5, run_at="2020-01-01Z") for _ in range(5)]
    me = register(conn, [QueueSlots("default")], rescue_after=30.0, pooled=False)
    turns = LaneRotation()
    turns.aging = timedelta(minutes=1)
    look = turns.plan_claim(100, worst=9, clock=datetime.now(UTC))
    with connect_hot(database_url, application_name="turns") as hot:
        assert sorted(row[0] for row in one_pass(hot, me, walk=look.ranges)) == jobs
    assert conn.execute("SELECT tokens FROM pgjobs.buckets").fetchall() == [(95.0,)]


def test_a_pass_looks_at_a_number_of_lanes_and_says_where_it_ended(
    database_url: str, conn: psycopg.Connection, worker: int
) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('k:*', 0)")
    for number in range(9):
        wait_in_lane(conn, limit_key=f"k:{number}")
    with connect_hot(database_url, application_name="turns") as hot:
        rows = one_pass(hot, worker, 5, most=4)
        assert rows == [(None, 6, "\x1fk:3\x1f\x1f")]
        assert one_pass(hot, worker, 5, most=10) == []


def test_what_has_expired_takes_no_tokens(conn: psycopg.Connection, database_url: str) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, rate, period, burst) VALUES ('k', 1, '1 hour', 3)")
    late = [wait_in_lane(conn, limit_key="k", expires_at="2020-01-01Z") for _ in range(5)]
    with connect_hot(database_url, application_name="turns") as hot:
        rows = hot.execute(statement("expire_waiting"), {"queue": "default", "reason": "late"}).fetchall()
    assert sorted(row[0] for row in rows) == late
    assert conn.execute("SELECT DISTINCT status, error FROM pgjobs.jobs").fetchall() == [("cancelled", "late")]


def test_the_age_of_jobs_in_lanes_is_known_unless_there_are_too_many_lanes(conn: psycopg.Connection) -> None:
    for number in range(5):
        for _ in range(4):
            wait_in_lane(conn, tenant=f"t{number}", priority=5)
    wait_in_lane(conn, tenant="other", priority=2)
    conn.execute("UPDATE pgjobs.jobs_waiting SET run_at = '2020-01-01 00:00+00' WHERE lane LIKE 't3%' AND id % 4 = 0")

    def oldest(most: int) -> dict[int | None, datetime]:
        return dict(conn.execute(statement("oldest_in_lanes"), {"queue": "default", "most": most}).fetchall())

    found = oldest(100)
    assert found.keys() == {2, 5}
    assert found[5] == datetime(2020, 1, 1, tzinfo=UTC) < found[2]
    assert None in oldest(6)
    assert None not in oldest(7)


def test_what_costs_less_than_a_token_needs_no_whole_one(conn: psycopg.Connection, claim: Claim) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, rate, period, burst) VALUES ('k', 0.001, '1 hour', 1)")
    jobs = [wait_in_lane(conn, limit_key="k", cost=0.4) for _ in range(3)]
    assert sorted(claim()) == jobs[:2]


def test_tenants_take_turns_and_a_heavier_one_gets_more_of_them(conn: psycopg.Connection, claim: Claim) -> None:
    conn.execute("INSERT INTO pgjobs.tenants (name, weight) VALUES ('heavy', 3)")
    lanes = {}
    for tenant in ("a", "heavy", "z"):
        for _ in range(50):
            lanes[wait_in_lane(conn, tenant=tenant)] = tenant
    few = wait_in_lane(conn, tenant="few")
    claimed = claim(6, quantum=1)
    assert Counter(lanes[job] for job in claimed if job in lanes) == {"a": 1, "heavy": 3, "z": 1}
    assert few in claimed


def test_a_claim_of_many_jobs_takes_several_of_each_lane_but_not_of_a_tenant(
    conn: psycopg.Connection, claim: Claim
) -> None:
    lanes = {}
    for name in ("a", "b"):
        for _ in range(10):
            lanes[wait_in_lane(conn, limit_key=name)] = name
            lanes[wait_in_lane(conn, tenant=name)] = f"tenant {name}"
    claimed = Counter(lanes[job] for job in claim(192, quantum=1))
    assert claimed == {"a": 3, "b": 3, "tenant a": 1, "tenant b": 1}


def test_a_lighter_tenant_gets_its_share_by_chance(conn: psycopg.Connection, claim: Claim) -> None:
    conn.execute("INSERT INTO pgjobs.tenants (name, weight) VALUES ('light', 0.5)")
    lanes = {wait_in_lane(conn, tenant=tenant): tenant for tenant in ("light", "other") * 60}
    claimed = [job for _ in range(60) for job in claim(2, quantum=1)]
    found = Counter(lanes[job] for job in claimed)
    assert found["other"] == 60
    assert 12 <= found["light"] <= 48  # 30 on average; outside of this once in a million times


def test_better_priorities_come_first_whosever_turn_it_is(conn: psycopg.Connection, claim: Claim) -> None:
    later = [wait_in_lane(conn, tenant=f"a{number}", priority=5) for number in range(3)]
    first = [wait_in_lane(conn, tenant=f"z{number}", priority=1) for number in range(3)]
    assert sorted(claim(4, last="zzz")) == sorted([*first, later[0]])


def test_a_sequence_gives_its_first_job_alone_whatever_its_priority(conn: psycopg.Connection, claim: Claim) -> None:
    first = wait_in_lane(conn, sequence="s", priority=9)
    second = wait_in_lane(conn, sequence="s", priority=0)
    other = wait_in_lane(conn, sequence="t")
    assert sorted(claim()) == [first, other]
    assert claim() == []
    end(conn, [first])
    assert claim() == [second]


@pytest.mark.parametrize("columns", [{"held": "later", "run_at": "2999-01-01Z"}, {"held": "needs", "needs": 1}])
def test_a_first_job_that_is_held_holds_up_its_sequence(
    conn: psycopg.Connection, claim: Claim, columns: dict[str, Any]
) -> None:
    wait_in_lane(conn, sequence="s", **columns)
    wait_in_lane(conn, sequence="s")
    assert claim() == []


def test_a_first_job_that_another_transaction_locks_is_not_passed_over(
    database_url: str, conn: psycopg.Connection, claim: Claim
) -> None:
    first = wait_in_lane(conn, sequence="s")
    wait_in_lane(conn, sequence="s")
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM pgjobs.jobs_waiting WHERE id = %s FOR UPDATE", [first])
        assert claim() == []
    assert claim() == [first]


@pytest.mark.parametrize(("on_failure", "goes_on"), [("block", False), ("skip", True), (None, False)])
def test_a_dead_letter_blocks_its_sequence_unless_it_said_skip(
    conn: psycopg.Connection, claim: Claim, on_failure: str | None, goes_on: bool
) -> None:
    put_dead(conn, sequence="s", on_failure=on_failure)
    waiting = wait_in_lane(conn, sequence="s", on_failure=on_failure)
    assert claim() == ([waiting] if goes_on else [])
    conn.execute("DELETE FROM pgjobs.dead_jobs")  # as `pgjobs dead discard` does
    assert claim() == ([] if goes_on else [waiting])


def test_what_is_due_later_takes_turns_from_then_on(conn: psycopg.Connection, claim: Claim) -> None:
    job = wait_in_lane(conn, tenant="a", held="later", run_at="2999-01-01Z")
    assert claim() == []
    conn.execute("UPDATE pgjobs.jobs SET run_at = now() WHERE id = %s", [job])
    assert claim() == [job]


@pytest.mark.parametrize(
    "state", ["INSERT INTO pgjobs.queues (name, paused) VALUES ('default', true)", "DELETE FROM pgjobs.workers"]
)
def test_a_paused_queue_gives_no_turns_and_a_dead_worker_gets_none(
    conn: psycopg.Connection, claim: Claim, state: str
) -> None:
    wait_in_lane(conn, tenant="a")
    conn.execute(state)
    assert claim() == []


def test_those_who_give_turns_at_once_never_exceed_a_limit(database_url: str, conn: psycopg.Connection) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('k:*', 2)")
    for number in range(300):
        wait_in_lane(conn, limit_key=f"k:{number % 5}", queue="ab"[number % 2])
    most: Counter[str] = Counter()

    def work(queue: str) -> None:
        me = put_worker(conn, {"a": 1, "b": 1})
        with connect_hot(database_url, application_name="turns") as hot:
            for _ in range(60):
                rows = one_pass(hot, me, 4, queue=queue)
                held = "SELECT limit_key, count(*) FROM pgjobs.jobs_live WHERE status = 'running' GROUP BY 1"
                for key, running in hot.execute(held):
                    most[key] = max(most[key], running)
                hot.execute("DELETE FROM pgjobs.jobs_live WHERE id = ANY (%s)", [[row[0] for row in rows]])

    threads = [threading.Thread(target=work, args=("ab"[number % 2],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most.values()) == 2


@pytest.mark.parametrize("state", ["empty", "filled"])
@pytest.mark.parametrize(
    "name",
    [
        *("pick_lanes", "rooms_of_stages", "claim_waiting", "claim_batches", "release_due_waiting", "check_queue"),
        "queue_capacity",
    ],
)
def test_the_plans_read_by_indexes_alone(
    database_url: str, conn: psycopg.Connection, worker: int, name: str, state: str
) -> None:
    """The small tables of settings aside: what grows is read by an index, also by a plan that was made before."""
    grows = ("jobs_waiting", "jobs_live", "dead_jobs", "limits", "buckets", "key_locks", "dependencies", "breakers")
    if state == "filled":
        for number in range(200):
            wait_in_lane(conn, limit_key=f"k:{number}", sequence=f"s:{number}")
        enqueue(conn, len, "x")
        conn.execute("ANALYZE")
    values = {
        "priorities": "{0,1}",
        "sinces": ["", ""],
        "most": 500,
        "untils": [LAST, LAST],
        "dues": [END_OF_TIME, END_OF_TIME],
        "lanes": ["\x1fk:1\x1fs:1\x1f", "\x1fk:2\x1fs:2\x1f"],
        "limit_keys": ["k:1", "k:2"],
        "sequences": ["s:1", "s:2"],
        "breakers": [None, None],
        "costs": [1.0, 1.0],
        "limited": [True, True],
        "probing": [False, False],
        "quantum": 1,
        "queue": "default",
        "demand": 5,
        "worker_id": worker,
        "counted_queue": None,
        "in_haste": False,
        "full": [],
        "stages": ["index/parse", "index/store"],
        "sizes": "{10,10}",
        "waits": "{1,1}",
        "mosts": [None, 4096],
        "batches": "{1,1}",
        "room": 100,
    }
    with connect_hot(database_url, application_name="plans") as hot, hot.transaction(force_rollback=True):
        given = {key: value for key, value in values.items() if f"%({key})s" in statement(name)}
        plan = "\n".join(row[0] for row in hot.execute(f"EXPLAIN {statement(name)}", given))
    assert not [
        line for line in plan.splitlines() if "Seq Scan on" in line and any(table in line for table in grows)
    ], plan


def test_a_claim_that_stands_still_holds_up_nothing_but_its_own_keys(
    database_url: str, conn: psycopg.Connection, worker: int
) -> None:
    """Also where no timeout ends it."""
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('k:*', 5)")
    conn.execute(statement("add_key_locks"), {"keys": ["limit:k:1", "sequence:s:1"]})
    theirs = [wait_in_lane(conn, limit_key="k:1"), wait_in_lane(conn, sequence="s:1")]
    with (
        connect_hot(database_url, application_name="still") as still,
        connect_hot(database_url, application_name="turns") as hot,
    ):
        still.execute("SET idle_in_transaction_session_timeout = 0")
        with still.transaction():
            assert [row[0] for row in one_pass(still, worker)] == theirs
            same_keys = [wait_in_lane(conn, limit_key="k:1"), wait_in_lane(conn, sequence="s:1")]
            others = [
                wait_in_lane(conn, limit_key="k:2"),
                wait_in_lane(conn, sequence="s:2"),
                wait_in_lane(conn, tenant="t"),
                wait_in_lane(conn, limit_key="k:2", queue="second"),
            ]
            claimed = [row[0] for queue in ("default", "second") for row in one_pass(hot, worker, queue=queue)]
            assert sorted(claimed) == others
            assert not conn.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'").fetchall()
        assert [row[0] for row in one_pass(hot, worker)] == same_keys[:1]


def test_a_limit_that_came_between_the_two_looks_of_a_claim_is_kept(
    database_url: str, conn: psycopg.Connection, worker: int
) -> None:
    for _ in range(3):
        wait_in_lane(conn, limit_key="k")
    with connect_hot(database_url, application_name="turns") as hot, hot.transaction():
        lanes = picked_lanes(hot, {"queue": "default", "demand": 5}, whole_walk())
        conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('k', 1)")
        values = {"quantum": 5, "worker_id": worker, "counted_queue": None, "queue": "default", "demand": 5}
        assert claim_lanes(hot, lanes, values) == []


def test_keys_that_no_job_has_are_forgotten_and_locked_ones_stay(
    database_url: str, conn: psycopg.Connection, worker: int
) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('k', 5)")
    wait_in_lane(conn, limit_key="k")
    wait_in_lane(conn, sequence="s")
    wait_in_lane(conn, sequence="s")
    unused = ["limit:gone", "sequence:gone", "breaker:gone", "queue:gone", "limit:locked"]
    conn.execute(statement("add_key_locks"), {"keys": unused})
    with connect_hot(database_url, application_name="turns") as hot:
        one_pass(hot, worker)
        with hot.transaction():
            hot.execute(statement("lock_key"), {"kind": "limit", "name": "locked"})
            conn.execute(statement("purge_key_locks"), {"batch": 100})
            left = conn.execute("SELECT kind || ':' || name FROM pgjobs.key_locks ORDER BY 1").fetchall()
            assert [row[0] for row in left] == ["limit:k", "limit:locked", "sequence:s"]
