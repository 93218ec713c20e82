"""What the tables of flow control may hold: nothing that lifts what holds for others, or that claims choke on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from psycopg.errors import CheckViolation

from pgjobs import admin
from pgjobs.db.breakers import lock_breaker
from pgjobs.db.statements import statement
from pgjobs.diagnose.why import why
from tests.support.rows import put_job, put_worker

LANE = "t\x1fk\x1f\x1fb"
PICK = {
    "priorities": [5],
    "sinces": [""],
    "untils": [None],
    "dues": ["9999-01-01"],
    "queue": "q",
    "most": 500,
    "demand": 10,
    "counted_queue": "q",
    "in_haste": False,
    "full": [],
}

LIMITS = [
    "rate = 1e308, period = '1 s'",
    "rate = 1e15, period = '1 us'",
    "rate = 1e-320, period = '1000 years'",
    "rate = 1e-15, period = '1000 years'",
    "rate = 1, period = '178000000 years'",
    "rate = 1, period = '1 s', burst = 1e308",
    "rate = 1, period = '1 s', burst = 1",
    "rate = 1, period = '1 s', burst = 0.5",
    "rate = 1, period = '1 s', burst = 'NaN'",
    "rate = 'infinity', period = '1 s'",
    "rate = 'NaN', period = '1 s'",
    "concurrency = 2147483647",
]
AGING = ["aging = '178000000 years'", "aging = '1000 years'", "aging = '1 us'"]
BUCKETS = [
    *(f"tokens = '{tokens}'" for tokens in ("infinity", "-infinity", "NaN", "1e15", "1e308", "-1e308")),
    *(f"at = '{at}'" for at in ("infinity", "-infinity", "4700-01-01 BC", "290000-01-01", "1970-01-01 00:00+00")),
]
BREAKERS = [
    *("period = '178000000 years'", "period = '1 us'", "cooldown = '178000000 years'", "cooldown = '1 us'"),
    *("until = 'infinity'", "until = '-infinity'", "until = '290000-01-01'", "until = '4700-01-01 BC'"),
    *("changed_at = 'infinity'", "changed_at = '-infinity'", "changed_at = '290000-01-01'"),
    *("calls = '[null]'", "calls = '[[1e400, 1, 1]]'", "calls = '[[1, 1e400, 1]]'", "calls = '[1]'"),
    *("probes = 2147483647", "min_calls = 2147483647", "streak = 2147483647", "passed = 2147483647"),
    *("failures = 1e-300", "failures = 1"),
]
JOBS = [
    *(f"expires_at = '{at}'" for at in ("infinity", "290000-01-01", "9999-12-31 23:59:59+00")),
    *("cost = 1e-45", "cost = 1e6", "cost = 'NaN'", "cost = 'infinity'", "cost = 0"),
    *("enqueued_at = 'infinity'", "enqueued_at = '-infinity'", "meta = '{}'", "on_failure = 'end'"),
]
VALUES = [
    *(("limits", value) for value in LIMITS),
    *(("queues", value) for value in [*LIMITS, *AGING]),
    *(("buckets", value) for value in BUCKETS),
    *(("breakers", value) for value in BREAKERS),
    *(("jobs_waiting", value) for value in JOBS),
]


def claim(conn: psycopg.Connection) -> None:
    """Do what a claim of a queue with a limit does."""
    rows = conn.execute(statement("check_queue"), {"queue": "q"}).fetchall()
    assert rows[0][2] is None or timedelta(seconds=rows[0][2])
    conn.execute(statement("queue_capacity"), {"queue": "q"}).fetchall()
    with conn.transaction():
        picked = conn.execute(statement("pick_lanes"), PICK).fetchall()
        assert {row[1] for row in picked} <= {LANE}


def record_calls(conn: psycopg.Connection) -> None:
    """Do what a worker does with the breaker of a job that has ended."""
    with conn.transaction(), conn.cursor() as cursor:
        lock_breaker(cursor, "b")


READERS: list[Callable[[psycopg.Connection], object]] = [
    claim,
    record_calls,
    admin.list_limits,
    admin.list_queues,
    admin.list_breakers,
    admin.list_jobs,
    lambda conn: why(conn, put_job(conn, status="waiting", queue="q", lane=LANE)),
]


@pytest.mark.parametrize(("table", "value"), VALUES)
def test_a_value_is_refused_or_stops_neither_a_claim_nor_who_looks(
    conn: psycopg.Connection, table: str, value: str
) -> None:
    worker = put_worker(conn, {"q": 3})
    put_job(conn, status="waiting", queue="q", lane=LANE)
    running = {"limit_key": "k", "breaker": "b", "counted_queue": "q", "started_at": "2026-01-01"}
    put_job(conn, status="running", queue="q", worker_id=worker, lane=LANE, **running)
    conn.execute("INSERT INTO pgjobs.limits (name, rate, period) VALUES ('k', 10, '1 s')")
    conn.execute("INSERT INTO pgjobs.queues (name, rate, period) VALUES ('q', 10, '1 s')")
    conn.execute("INSERT INTO pgjobs.breakers (name, state, until) VALUES ('b', 'half_open', now())")
    conn.execute(
        "INSERT INTO pgjobs.buckets VALUES ('limit', 'k', 5, now() - interval '1 h'), ('queue', 'q', 5, now())"
    )
    try:
        conn.execute(f"UPDATE pgjobs.{table} SET {value}")
    except CheckViolation:
        return
    for read in READERS:
        read(conn)


@pytest.mark.parametrize("key", ["\U0010ffff" * 100, "\x01", "\u202e", " ", "*", "a:*"])
def test_a_key_of_any_characters_is_claimed(conn: psycopg.Connection, key: str) -> None:
    lane = f"{key}\x1f{key}\x1f{key}\x1f{key}"
    put_job(conn, status="waiting", queue="q", lane=lane)
    with conn.transaction():
        assert [row[1] for row in conn.execute(statement("pick_lanes"), PICK).fetchall()] == [lane]


def test_no_update_parts_a_lane_from_the_keys_of_its_job(conn: psycopg.Connection) -> None:
    job = put_job(conn, status="waiting", lane="t\x1fk\x1fs\x1fb")
    for column in ("limit_key", "sequence", "breaker", "lane"):
        for value in (None, "other", ""):
            with pytest.raises(CheckViolation):
                conn.execute(f"UPDATE pgjobs.jobs SET {column} = %s WHERE id = %s", [value, job])
