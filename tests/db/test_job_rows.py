"""A job's row keeps its columns wherever it goes: another partition, a dead letter, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.types.json import Jsonb

from pgjobs.db.enqueue_columns import TYPES, EnqueueColumns
from pgjobs.db.statements import statement
from tests.support.rows import put_worker, row_of
from tests.support.worker import scalar

if TYPE_CHECKING:
    from psycopg import Connection

NOW = datetime(2026, 11, 30, tzinfo=UTC)
DROPPED = {"isolate", "expires_at", "held", "needs", "dependents", "counted_queue", "cancel_reason", "cancel_force"}
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
    "counted_queue": "mail",
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


FLOW = {"lane", "limit_key", "cost", "sequence", "on_failure", "breaker"}
"""The columns of jobs that take turns, which complete.sql leaves to complete_with_flow.sql."""
ENDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "complete": ({}, {"status": "completed"}),
    "complete_with_flow": ({"awaited": True}, {"status": "completed"}),
    "complete_within": ({}, {"status": "completed"}),
    "complete_within_with_result": (
        {"seconds": 9.0, "is_json": True, "signature": None, "value": b"1"},
        {"status": "completed"},
    ),
    "complete_batch_within": ({}, {"status": "completed"}),
    "complete_and_continue_sequences": ({}, {"status": "completed"}),
    "complete_and_refill_limits": ({}, {"status": "completed"}),
    "cancel": ({"reasons": ["enough"]}, {"status": "cancelled", "error": "enough", "error_kind": None}),
    "fail": (
        {"host": "h", "errors": ["E"], "kinds": ["timeout"], "tracebacks": [None]},
        {"status": "failed", "error": "E", "error_kind": "timeout"},
    ),
}


def _put_running(conn: Connection, **columns: Any) -> dict[str, Any]:
    conn.execute("TRUNCATE pgjobs.jobs, pgjobs.dead_jobs")
    _put_full(conn)
    changes = "".join(f", {name} = %({name})s" for name in columns)
    query = f"UPDATE pgjobs.jobs SET worker_id = %(worker)s, cancel_reason = NULL{changes} RETURNING id"
    return row_of(conn, scalar(conn, query, {"worker": put_worker(conn, {"mail": 1}), **columns}))


@pytest.mark.parametrize("name", ENDS)
def test_job_that_ends_keeps_all_columns_but_the_named_ones(conn: Connection, name: str) -> None:
    parameters, changes = ENDS[name]
    row = _put_running(conn, **({"dependents": None} if name != "complete_with_flow" else {}))
    assert row.keys() == FULL.keys() | {"id", "status", "finished_at"}, "add the new column to FULL"
    claim = {"ids": [row["id"]], "claim_numbers": [row["claims"]], "worker_id": row["worker_id"]}
    one = {"id": row["id"], "claim_number": row["claims"]}

    conn.execute(statement(name), {**claim, **one, **parameters})

    after = row_of(conn, row["id"])
    assert after.pop("finished_at") is not None
    expected = {**row, **dict.fromkeys(DROPPED | (FLOW if name == "complete" else set())), **changes}
    del expected["finished_at"]
    if name == "fail":
        expected["errors"] = after["errors"]
        assert [entry.get("error") for entry in after["errors"]] == [None, "E"]
    assert after == expected


def test_job_that_is_cancelled_before_it_runs_keeps_all_columns_but_the_named_ones(conn: Connection) -> None:
    row = _put_running(conn, status="queued")

    conn.execute(statement("cancel_jobs"), {"ids": [row["id"]], "reason": "enough"})

    after = row_of(conn, row["id"])
    changes = {"status": "cancelled", "error": "enough", "error_kind": None, "finished_at": after["finished_at"]}
    assert after == {**row, **dict.fromkeys(DROPPED), **changes}


def test_job_that_waits_again_and_is_claimed_keeps_all_columns(conn: Connection) -> None:
    row = _put_running(conn, status="queued", expires_at=None)

    conn.execute(statement("return_to_waiting"), {"ids": [row["id"]]})

    gone = dict.fromkeys(("held", "needs", "counted_queue", "started_at", "worker_id", "cancel_reason", "cancel_force"))
    assert row_of(conn, row["id"]) == {**row, **gone, "status": "waiting"}
    conn.execute("DELETE FROM pgjobs.limits")
    conn.execute(
        statement("claim_waiting"),
        {
            "queue": "mail",
            "worker_id": row["worker_id"],
            "demand": 5,
            "quantum": 5,
            "counted_queue": "mail",
            "priorities": [2],
            "lanes": [row["lane"]],
            "dues": ["9999-01-01"],
            "limit_keys": [row["limit_key"]],
            "sequences": [row["sequence"]],
            "breakers": [row["breaker"]],
            "costs": [1.0],
            "limited": [False],
            "probing": [False],
        },
    )
    _check_claimed(conn, row, gone)


def test_job_of_a_batch_that_is_claimed_keeps_all_columns(conn: Connection) -> None:
    row = _put_running(conn, status="queued", expires_at=None)
    conn.execute(statement("return_to_waiting"), {"ids": [row["id"]]})
    conn.execute(
        statement("claim_batches"),
        {
            "queue": "mail",
            "worker_id": row["worker_id"],
            "counted_queue": "mail",
            "priorities": [2],
            "lanes": [row["lane"]],
            "dues": ["9999-01-01"],
            "sizes": [1],
            "waits": [60.0],
            "mosts": [None],
            "batches": [1],
            "room": 10,
            "in_haste": False,
            "full": [],
        },
    )
    gone = dict.fromkeys(("held", "needs", "counted_queue", "started_at", "worker_id", "cancel_reason", "cancel_force"))
    _check_claimed(conn, row, gone)


def _check_claimed(conn: Connection, row: dict[str, Any], gone: dict[str, Any]) -> None:
    after = row_of(conn, row["id"])
    new = {"status": "running", "claims": 4, "attempt": 3, "counted_queue": "mail", "worker_id": row["worker_id"]}
    assert after == {**row, **gone, **new, "started_at": after["started_at"]}


def test_options_of_a_call_are_the_same_in_python_and_in_the_type_of_sql(conn: Connection) -> None:
    query = """
        SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute AS a
        WHERE a.attrelid = 'pgjobs.enqueue_columns'::regclass
    """
    names = scalar(conn, query)
    assert names == [name for name in EnqueueColumns._fields if name != "delay"]
    assert names == ["run_at", *TYPES]


def test_a_job_that_ends_or_comes_back_keeps_its_meta_and_its_keys(conn: Connection) -> None:
    worker = put_worker(conn, {"mail": 1})
    row = _put_full(conn)
    conn.execute("UPDATE pgjobs.jobs SET worker_id = %s, cancel_reason = NULL", [worker])
    claim = {"ids": [row["id"]], "claim_numbers": [row["claims"]], "worker_id": worker, "host": "h"}
    kept = ("meta", "limit_key", "sequence", "breaker", "lane", "signature")
    conn.execute(statement("fail"), {**claim, "errors": ["E"], "kinds": ["timeout"], "tracebacks": [None]})
    failed = row_of(conn, row["id"])
    assert [failed[name] for name in kept] == [row[name] for name in kept]
    assert (failed["status"], failed["error"], failed["error_kind"]) == ("failed", "E", "timeout")
    letter = conn.execute("SELECT to_jsonb(d) - 'died_at' - 'ends_sequence' FROM pgjobs.dead_jobs AS d").fetchone()
    history = conn.execute("SELECT to_jsonb(h) FROM pgjobs.jobs_history AS h").fetchone()
    assert letter == history
    conn.execute(statement("requeue_jobs"), {"ids": [row["id"]], "ended_at": [failed["finished_at"]]})
    again = row_of(conn, row["id"])
    assert (again["status"], again["meta"], again["error_kind"]) == ("waiting", {"user": 7}, "timeout")


def test_dead_jobs_has_the_columns_of_jobs_and_then_its_own(conn: Connection) -> None:
    assert _columns(conn, "dead_jobs") == [*_columns(conn, "jobs"), "died_at", "ends_sequence"]
    assert _columns(conn, "jobs_history") == _columns(conn, "jobs")
