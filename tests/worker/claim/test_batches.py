"""When a batch is formed, and of what: the statements alone, without a worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pgjobs.db.connection import connect_hot
from pgjobs.db.statements import statement
from pgjobs.worker.claim.lane_claims import Lane, claim_batches
from tests.support.rows import put_job, put_worker
from tests.support.worker import scalar

LANE = "\x1f\x1f\x1f\x1f{size}:{wait}:{most}:m:f:{key}"


@pytest.fixture
def worker(conn: psycopg.Connection) -> int:
    return put_worker(conn, {"default": 1})


@pytest.fixture
def hot(database_url: str) -> Iterator[psycopg.Connection]:
    with connect_hot(database_url, application_name="claims") as hot:
        yield hot


def put(
    conn: psycopg.Connection,
    jobs: int,
    *,
    size: int = 3,
    wait: float = 60,
    most: object = "",
    age: float = 1,
    key: str = "",
) -> str:
    """Put jobs of a batch into the table, and return their lane."""
    lane = LANE.format(size=size, wait=round(wait * 1000), most=most, key=key)
    for _ in range(jobs):
        job = put_job(conn, status="waiting", lane=lane, payload=b"x" * 100)
        conn.execute("UPDATE pgjobs.jobs SET run_at = now() - %s * interval '1 s' WHERE id = %s", [age, job])
    make_lock(conn, lane)
    return lane


def make_lock(conn: psycopg.Connection, lane: str) -> None:
    """Make the row that claims of a lane lock, as one does that finds none."""
    name = scalar(conn, "SELECT pgjobs.batch_lock('default', 5::smallint, %s)", [lane])
    conn.execute(statement("add_key_locks"), {"keys": [f"batch:{name}"]})


def picked(hot: psycopg.Connection, **more: Any) -> list[Lane]:
    values = {
        "priorities": [5],
        "sinces": [""],
        "untils": [None],
        "dues": ["9999-01-01"],
        "queue": "default",
        "most": 500,
        "demand": 10,
        "counted_queue": None,
        "in_haste": False,
        "full": [],
    }
    return [Lane(*row) for row in hot.execute(statement("pick_lanes"), {**values, **more})]


def claimed(hot: psycopg.Connection, worker: int, *, wanted: int = 10, **more: Any) -> int:
    """Claim batches as a claim does, and return the number of jobs."""
    values = {"queue": "default", "worker_id": worker, "counted_queue": None, "in_haste": False, "room": 1_000, **more}
    with hot.transaction(), hot.cursor() as cursor:
        lanes = [lane for lane in picked(hot, in_haste=values["in_haste"]) if lane.is_locked]
        return len(claim_batches(cursor, lanes, values, wanted))


@pytest.mark.parametrize(
    ("jobs", "options", "expected"),
    [
        (2, {}, 0),
        (3, {}, 3),
        (2, {"wait": 0.5}, 2),  # old enough
        (8, {}, 6),  # two whole ones; the rest waits for more
        (8, {"wait": 0.5}, 8),
        (2, {"most": 200}, 2),  # large enough
        (3, {"most": 250, "wait": 0.5}, 2),  # and no larger
        (3, {"most": 10}, 1),  # but at least one
    ],
)
def test_a_batch_is_claimed_when_there_are_enough_or_the_first_is_old_enough(
    conn: psycopg.Connection, hot: psycopg.Connection, worker: int, jobs: int, options: dict[str, Any], expected: int
) -> None:
    put(conn, jobs, **options)
    assert claimed(hot, worker) == expected


def test_in_haste_what_is_there_is_a_batch(conn: psycopg.Connection, hot: psycopg.Connection, worker: int) -> None:
    put(conn, 5)
    assert claimed(hot, worker, in_haste=True) == 5


def test_no_more_batches_are_claimed_than_are_wanted(
    conn: psycopg.Connection, hot: psycopg.Connection, worker: int
) -> None:
    put(conn, 9)
    put(conn, 9, key="b")
    assert claimed(hot, worker, wanted=1) == 3
    assert claimed(hot, worker, wanted=2) == 6


def test_the_limit_of_a_queue_makes_smaller_batches(
    conn: psycopg.Connection, hot: psycopg.Connection, worker: int
) -> None:
    put(conn, 9)
    assert claimed(hot, worker, wanted=1, room=2) == 2


def test_lanes_that_wait_for_more_jobs_take_nobodys_turn(conn: psycopg.Connection, hot: psycopg.Connection) -> None:
    for number in range(20):
        put(conn, 1, key=f"{number:02}")
    ready = put(conn, 3, key="z")
    assert [lane.lane for lane in picked(hot, demand=1)] == [ready]


def test_two_claims_do_not_share_a_lane(
    conn: psycopg.Connection, hot: psycopg.Connection, database_url: str, worker: int
) -> None:
    put(conn, 6)
    with connect_hot(database_url, application_name="other") as other, other.transaction(), other.cursor() as cursor:
        values = {"queue": "default", "worker_id": worker, "counted_queue": None, "in_haste": False, "room": 1_000}
        assert len(claim_batches(cursor, picked(other), values, 1)) == 3
        assert claimed(hot, worker) == 0
        assert not conn.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'").fetchall(), "all logins can take it"
    assert claimed(hot, worker) == 3


def test_the_lock_of_a_lane_is_made_when_a_claim_finds_none(
    conn: psycopg.Connection, hot: psycopg.Connection, worker: int
) -> None:
    put(conn, 3)
    conn.execute("DELETE FROM pgjobs.key_locks")
    (lane,) = picked(hot)
    assert not lane.is_locked
    assert claimed(hot, worker) == 0
    conn.execute(statement("add_key_locks"), {"keys": lane.missing})
    assert claimed(hot, worker) == 3
    conn.execute(statement("purge_key_locks"), {"batch": 10})
    assert scalar(conn, "SELECT count(*) FROM pgjobs.key_locks") == 0


@pytest.mark.parametrize(
    "lane", ["\x1f\x1f\x1f\x1f", "\x1f\x1f\x1f\x1f:::", "\x1f\x1f\x1f\x1f0:0::", "\x1f\x1f\x1f\x1f99999999:1::"]
)
def test_a_lane_that_was_written_by_hand_stops_no_claim(
    conn: psycopg.Connection, hot: psycopg.Connection, worker: int, lane: str
) -> None:
    put_job(conn, status="waiting", lane=lane)
    make_lock(conn, lane)
    assert [each.lane for each in picked(hot)] == [lane]
    claimed(hot, worker)


@pytest.mark.parametrize("pause", ["UPDATE pgjobs.switch SET paused = true", "DELETE FROM pgjobs.workers"])
def test_nothing_is_claimed_while_all_is_paused_or_for_a_worker_that_is_gone(
    conn: psycopg.Connection, hot: psycopg.Connection, worker: int, pause: str
) -> None:
    put(conn, 3)
    (lane,) = picked(hot)
    conn.execute(pause)
    values = {"queue": "default", "worker_id": worker, "counted_queue": None, "in_haste": False, "room": 1_000}
    with hot.transaction(), hot.cursor() as cursor:
        assert claim_batches(cursor, [lane], values, 1) == []


def test_a_batch_completes_itself_as_a_whole_or_not_at_all(conn: psycopg.Connection, worker: int) -> None:
    jobs = [put_job(conn, status="running", worker_id=worker, claims=claims) for claims in (1, 2)]
    stale = {"ids": jobs, "claim_numbers": [1, 1]}
    with pytest.raises(psycopg.Error) as refused:
        conn.execute(statement("complete_batch_within"), stale)
    assert refused.value.sqlstate == "PGJ01"
    assert conn.execute("SELECT count(*) FROM pgjobs.jobs WHERE status = 'running'").fetchone() == (2,)
    conn.execute(statement("complete_batch_within"), {**stale, "claim_numbers": [1, 2]})
    assert conn.execute("SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed'").fetchone() == (2,)
