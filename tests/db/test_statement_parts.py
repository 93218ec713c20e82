"""The SQL functions and the view that statements share: what they return, and that they cost no call."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from pgjobs.db.statements import statement
from pgjobs.flow.limits import pattern_of
from pgjobs.flow.rates import Rate, capacity, refill
from tests.support.rows import put_job, put_worker, row_of
from tests.support.worker import scalar

if TYPE_CHECKING:
    from psycopg import Connection

NOW = datetime(2026, 11, 30, tzinfo=UTC)
DROPPED = {"expires_at", "held", "needs", "dependents", "slot", "cancel_reason", "cancel_force"}
"""The columns that mean nothing once a job has ended."""
FULL: dict[str, Any] = {
    "run_at": NOW,
    "enqueued_at": NOW,
    "started_at": NOW,
    "worker_id": 7,
    "claims": 3,
    "attempt": 2,
    "max_attempts": 9,
    "prior_attempts": 1,
    "timeout": 1.5,
    "priority": 2,
    "isolate": True,
    "queue": "mail",
    "task": "shop:send",
    "executor": "thread",
    "summary": "send()",
    "error": "ValueError: no",
    "error_kind": "exception",
    "signature": b"s",
    "payload": b"p",
    "errors": Jsonb([{"attempt": 1}]),
    "meta": Jsonb({"user": 7}),
    "expires_at": NOW,
    "lane": "a\x1fb\x1fc\x1fd",
    "limit_key": "b",
    "cost": 2.0,
    "sequence": "c",
    "on_failure": "block",
    "breaker": "d",
    "held": "later",
    "needs": 1,
    "dependents": True,
    "slot": "mail",
    "cancel_reason": "no",
    "cancel_force": True,
}


def _columns(conn: Connection, table: str) -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"
    return [row[0] for row in conn.execute(query, [f"pgjobs.{table}"])]


def _put_full(conn: Connection) -> dict[str, Any]:
    names = ", ".join(FULL)
    values = ", ".join(f"%({name})s" for name in FULL)
    query = f"INSERT INTO pgjobs.jobs (status, {names}) VALUES ('running', {values}) RETURNING id"
    return row_of(conn, scalar(conn, query, FULL))


def test_ended_keeps_every_column_but_what_held_the_job_up(conn: Connection) -> None:
    before = _put_full(conn)
    assert before.keys() == FULL.keys() | {"id", "status", "finished_at"}, "add the new column above"
    with conn.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        query = "SELECT h.* FROM pgjobs.jobs AS j, pgjobs.ended(j, 'completed') AS h"
        after = cursor.execute(query).fetchone()
    assert after is not None
    assert after.pop("finished_at") is not None
    expected = {**before, **dict.fromkeys(DROPPED), "status": "completed"}
    del expected["finished_at"]
    assert after == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("'failed', 'E', 'timeout', '[1]'", ("failed", "E", "timeout", [1])),
        ("'cancelled', 'not needed'", ("cancelled", "not needed", None, [{"attempt": 1}])),
        ("'completed'", ("completed", "ValueError: no", "exception", [{"attempt": 1}])),
    ],
)
def test_ended_with_an_error_replaces_that_of_the_row(
    conn: Connection, arguments: str, expected: tuple[object, ...]
) -> None:
    _put_full(conn)
    query = (
        "SELECT h.status, h.error, h.error_kind, h.errors FROM pgjobs.jobs AS j, "
        f"pgjobs.ended(j, {arguments}) AS h WHERE j.status = 'running'"
    )
    assert conn.execute(query.encode()).fetchone() == expected


def test_a_job_that_ends_or_comes_back_keeps_its_meta_and_its_keys(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 1})
    row = _put_full(conn)
    conn.execute("UPDATE pgjobs.jobs SET worker_id = %s, cancel_reason = NULL", [worker])
    claim = {"ids": [row["id"]], "claims": [row["claims"]], "worker_id": worker, "host": "h"}
    kept = ("meta", "limit_key", "sequence", "breaker", "lane", "signature", "isolate")
    conn.execute(statement("fail"), {**claim, "errors": ["E"], "kinds": ["timeout"], "tracebacks": [None]})
    failed = row_of(conn, row["id"])
    assert [failed[name] for name in kept] == [row[name] for name in kept]
    assert (failed["status"], failed["error"], failed["error_kind"]) == ("failed", "E", "timeout")
    letter = conn.execute("SELECT to_jsonb(d) - 'died_at' FROM pgjobs.dead_jobs AS d").fetchone()
    history = conn.execute("SELECT to_jsonb(h) FROM pgjobs.jobs_history AS h").fetchone()
    assert letter == history
    conn.execute(statement("requeue_jobs"), {"ids": [row["id"]]})
    again = row_of(conn, row["id"])
    assert (again["status"], again["meta"], again["error_kind"]) == ("waiting", {"user": 7}, "timeout")


def test_dead_jobs_has_the_columns_of_jobs_and_then_died_at(conn: Connection) -> None:
    assert _columns(conn, "dead_jobs") == [*_columns(conn, "jobs"), "died_at"]
    assert _columns(conn, "jobs_history") == _columns(conn, "jobs")


@pytest.mark.parametrize(
    "name",
    [
        *("cancel", "complete_with_flow", "fail", "retry", "cancel_jobs", "expire_waiting", "cancel_dependents"),
        *("end_sequences", "claim_waiting", "queue_capacity", "purge_buckets", "list_limits"),
    ],
)
def test_shared_functions_are_inlined_into_their_statement(conn: Connection, name: str) -> None:
    text = statement(name)
    assert re.search(r"pgjobs\.(ended|errors_with|pattern_of|bucket_\w+)\(", text)
    parameters: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in parameters:
            parameters.append(found[1])
        return f"${parameters.index(found[1]) + 1}"

    prepared = re.sub(r"%\((\w+)\)s", number, text).replace("%%", "%")
    with conn.transaction(force_rollback=True):
        conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        conn.execute(f"PREPARE shared AS {prepared}".encode())
        nulls = f"({', '.join(['NULL'] * len(parameters))})" if parameters else ""
        plan = "\n".join(row[0] for row in conn.execute(f"EXPLAIN (VERBOSE) EXECUTE shared{nulls}".encode()))
        conn.execute("DEALLOCATE shared")
    assert not re.search(r"pgjobs\.(ended|errors_with|pattern_of|bucket_\w+)", plan), plan


@pytest.mark.parametrize("key", ["tenant:7", "shop:3:mail", "stripe", "a:", "", "zürich:ü", "a\nb:c\nd"])
def test_pattern_of_in_sql_is_that_of_python(conn: Connection, key: str) -> None:
    assert scalar(conn, "SELECT pgjobs.pattern_of(%s)", [key]) == pattern_of(key)


def test_a_token_bucket_in_sql_is_that_of_python(conn: Connection) -> None:
    tokens = [None, -5.0, 0.0, 0.5, 8.0, 1e9]
    ages = [-2.0, -1.0, -0.5, 0.0, 0.25, 30.0, 1e7]  # seconds; below 0: the clock was set back
    rates = [(100.0, 60.0), (0.1, 1.0), (1e9, 0.001), (3.0, 366 * 86_400.0)]
    query = """
        SELECT pgjobs.bucket_tokens(%s, %s, %s, make_interval(secs => %s), %s), pgjobs.bucket_capacity(%s, %s)
    """
    with conn.transaction():
        now: datetime = scalar(conn, "SELECT now()")
        for left, age, (count, period), burst in product(tokens, ages, rates, [None, 1.0, 20.0]):
            at, rate = now - timedelta(seconds=age), Rate(count, period)
            since = None if left is None else at
            found = conn.execute(query, [left, since, count, period, burst, count, burst]).fetchone()
            expected = (pytest.approx(refill(left, at, now, rate, burst)), capacity(rate, burst))
            assert found == expected, (left, age, rate, burst)


def test_a_token_bucket_without_a_rate_is_null(conn: Connection) -> None:
    query = "SELECT pgjobs.bucket_tokens(1, now(), NULL, NULL, NULL), pgjobs.bucket_capacity(NULL, 5)"
    assert conn.execute(query).fetchone() == (None, None)


def test_queue_names_has_queues_with_a_row_and_queues_with_jobs(conn: Connection) -> None:
    conn.execute("INSERT INTO pgjobs.queues (name) VALUES ('settings'), ('both')")
    put_job(conn, queue="queued")
    put_job(conn, queue="both")
    for held in (None, "later"):
        conn.execute(
            "INSERT INTO pgjobs.jobs_waiting (queue, task, payload, lane, held) VALUES (%s, 'a:b', 'x', 'l', %s)",
            [f"waiting {held}", held],
        )
    names = [row[0] for row in conn.execute('SELECT name FROM pgjobs.queue_names ORDER BY name COLLATE "C"')]
    assert names == ["both", "queued", "settings", "waiting None", "waiting later"]


def test_held_snapshots_name_the_session_that_holds_one(conn: Connection, database_url: str) -> None:
    with psycopg.connect(database_url, application_name="holder") as holder:
        holder.execute("SELECT pg_current_xact_id()")
        query = "SELECT pid, kind, transactions FROM pgjobs.held_snapshots() WHERE name = 'holder'"
        assert conn.execute(query).fetchall() == [(holder.info.backend_pid, "session", 1)]
