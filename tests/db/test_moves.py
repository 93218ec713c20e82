"""A row that a trigger of others keeps out of the table that it moves to is not lost: it stays where it was."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

import pgjobs
from pgjobs.db.statements import statement
from tests.support.rows import put_dead, put_job, put_worker
from tests.support.worker import scalar

SQL = Path(pgjobs.__file__).parent / "db" / "sql"
PAST = "2001-01-01"
LANE = "acme\x1f\x1f\x1f"
BATCH_LANE = "\x1f\x1f\x1f\x1f2:60000::m:f:"


@dataclass(frozen=True)
class Move:
    """Two jobs with these columns, which the statement moves. `more`: its parameters, from the two ids and a worker."""

    columns: dict[str, Any]
    more: Callable[[psycopg.Connection, list[int], int], dict[str, Any]]
    dead: bool = False


def _claims(**more: Any) -> Callable[[psycopg.Connection, list[int], int], dict[str, Any]]:
    return lambda conn, ids, worker: {"ids": ids, "claim_numbers": [1, 1], "worker_id": worker, **more}


def _needs(on_failure: str, **more: Any) -> Callable[[psycopg.Connection, list[int], int], dict[str, Any]]:
    def parameters(conn: psycopg.Connection, ids: list[int], worker: int) -> dict[str, Any]:
        for job in ids:
            conn.execute(
                "INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure) VALUES (1, %s, %s)", [job, on_failure]
            )
        return {"ids": [1], "patient": True, **more}

    return parameters


def _of_a_paused_workflow(conn: psycopg.Connection, ids: list[int]) -> list[int]:
    conn.execute(
        "INSERT INTO pgjobs.workflows (id, name, paused_at) VALUES (1, 'paused', now()) ON CONFLICT DO NOTHING"
    )
    conn.execute(
        "INSERT INTO pgjobs.workflow_steps (job_id, workflow_id, node, name) "
        "SELECT id, 1, id, 'step' FROM unnest(%s::bigint[]) AS id ON CONFLICT DO NOTHING",
        [ids],
    )
    return ids


def _second_waits(conn: psycopg.Connection, ids: list[int], worker: int) -> dict[str, Any]:
    conn.execute(
        "UPDATE pgjobs.jobs SET status = 'waiting', worker_id = NULL, held = 'needs', needs = 1 WHERE id = %s", [ids[1]]
    )
    conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id, on_failure) VALUES (%s, %s, 'wait')", ids)
    return {**_claims(queues=["default"], rooms=[1])(conn, ids, worker)}


def _ending_letter(conn: psycopg.Connection) -> int:
    letter = put_dead(conn, sequence="s", on_failure="end")
    conn.execute("DELETE FROM pgjobs.jobs_history")
    conn.execute("UPDATE pgjobs.dead_jobs SET ends_sequence = true, died_at = now() + interval '1 minute'")
    return letter


def _pause(conn: psycopg.Connection, ids: list[int], worker: int) -> dict[str, Any]:
    conn.execute("INSERT INTO pgjobs.paused_tasks (task, patterns) VALUES ('m:f', ARRAY['m:f'])")
    return {"ids": ids, "claim_numbers": [1, 1], "worker_id": worker, "tasks": ["m:f", "m:f"]}


_ERRORS = {"host": "h", "errors": ["E", "E"], "kinds": ["timeout", "timeout"], "tracebacks": [None, None]}
_TURN = {
    "priorities": [5],
    "lanes": [LANE],
    "dues": ["9999-01-01"],
    "costs": [1.0],
    "quantum": 5,
    "limit_keys": [None],
    "sequences": [None],
    "breakers": [None],
    "limited": [False],
    "probing": [False],
}
_BATCH = {
    "priorities": [5],
    "lanes": [BATCH_LANE],
    "dues": ["9999-01-01"],
    "sizes": [2],
    "waits": [60.0],
    "mosts": [None],
    "batches": [1],
    "room": 100,
    "in_haste": False,
    "full": [],
}
RUNNING = {"status": "running", "claims": 1}
MOVES = {
    "complete": Move(RUNNING, _claims()),
    "complete_with_flow": Move(RUNNING, _claims(awaited=False)),
    "complete_within": Move(RUNNING, lambda conn, ids, worker: {"id": ids[1], "claim_number": 1}),
    "complete_within_with_result": Move(
        RUNNING,
        lambda conn, ids, worker: {
            "id": ids[1],
            "claim_number": 1,
            "seconds": 9.0,
            "is_json": True,
            "signature": None,
            "value": b"1",
        },
    ),
    "complete_batch_within": Move(RUNNING, _claims()),
    "complete_with_results": Move(
        RUNNING,
        _claims(seconds=[9.0, 9.0], is_json=[True, True], signatures=None, results=[b"1", b"2"], keep=True),
    ),
    "complete_and_continue_sequences": Move(RUNNING, _claims()),
    "complete_and_refill_limits": Move(RUNNING, _claims()),
    "complete_and_release": Move({**RUNNING, "dependents": True}, _second_waits),
    "cancel": Move(RUNNING, _claims(reasons=["no", "no"])),
    "fail": Move(RUNNING, _claims(**_ERRORS)),
    "park_task": Move(RUNNING, _pause),
    "return_to_waiting": Move({"lane": LANE}, lambda conn, ids, worker: {"ids": ids}),
    "claim_waiting": Move(
        {"status": "waiting", "lane": LANE},
        lambda conn, ids, worker: {
            "queue": "default",
            "worker_id": worker,
            "demand": 5,
            "counted_queue": None,
            **_TURN,
        },
    ),
    "claim_batches": Move(
        {"status": "waiting", "lane": BATCH_LANE},
        lambda conn, ids, worker: {"queue": "default", "worker_id": worker, "counted_queue": None, **_BATCH},
    ),
    "expire_waiting": Move(
        {"status": "waiting", "lane": LANE, "expires_at": PAST},
        lambda conn, ids, worker: {"queue": "default", "reason": "late"},
    ),
    "cancel_dependents": Move({"status": "waiting", "held": "needs", "needs": 1}, _needs("cancel")),
    "release_dependents": Move({"status": "waiting", "held": "needs", "needs": 1}, _needs("wait", completed=True)),
    "hold_steps": Move({}, lambda conn, ids, worker: {"ids": _of_a_paused_workflow(conn, ids)}),
    "hold_queued_steps": Move({}, lambda conn, ids, worker: {"ids": ids}),
    "let_go_steps": Move({"status": "waiting", "held": "workflow"}, lambda conn, ids, worker: {"ids": ids}),
    "end_sequences": Move(
        {"status": "waiting", "sequence": "s", "lane": "\x1f\x1fs\x1f"},
        lambda conn, ids, worker: {"letters": [_ending_letter(conn)]},
    ),
    "cancel_jobs": Move({}, lambda conn, ids, worker: {"ids": ids, "reason": "no"}),
    "requeue_parked": Move(
        {"status": "waiting", "held": "task"}, lambda conn, ids, worker: {"task": "m:f", "batch": 10}
    ),
    "requeue_jobs": Move(
        {"status": "cancelled", "finished_at": PAST}, lambda conn, ids, worker: {"ids": ids, "ended_at": [PAST]}
    ),
    "replay_dead": Move(
        {"finished_at": PAST},
        lambda conn, ids, worker: {"ids": ids, "ended_at": [PAST], "places": 0, "spacing": 0.0},
        dead=True,
    ),
    "backfill_finished_at": Move(
        {"status": "completed", "finished_at": None},
        lambda conn, ids, worker: {"begins": "(0,0)", "ends": "(100,0)"},
    ),
}
KEPT_OUT = {
    "all of them": "CREATE TRIGGER mute BEFORE INSERT ON pgjobs.{} FOR EACH ROW EXECUTE FUNCTION public.mute()",
    "one of two": "CREATE TRIGGER mute BEFORE INSERT ON pgjobs.{} FOR EACH ROW WHEN (NEW.summary = 'b')"
    " EXECUTE FUNCTION public.mute()",
}


def _moves(path: Path) -> bool:
    """Return True for a statement that moves jobs: it inserts what it deletes, or changes what makes partitions."""
    text = path.read_text("utf-8")
    inserts = re.search(r"INSERT INTO pgjobs\.(jobs|dead_jobs)", text)
    changes = re.search(
        r"UPDATE pgjobs\.jobs(_history)?\b(?:(?!WHERE).)*(SET|,)\s+(status|finished_at) = ", text, re.DOTALL
    )
    return bool((inserts and "DELETE FROM pgjobs." in text) or changes)


def test_every_statement_that_moves_jobs_is_tried_here() -> None:
    assert {path.stem for path in SQL.rglob("*.sql") if _moves(path)} == MOVES.keys()


def _rows(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    jobs = conn.execute("SELECT tableoid::regclass::text, to_jsonb(j) FROM pgjobs.jobs AS j ORDER BY id").fetchall()
    return jobs + conn.execute("SELECT 'dead', to_jsonb(d) FROM pgjobs.dead_jobs AS d ORDER BY id").fetchall()


def test_a_row_that_is_kept_out_stays_where_it_was(conn: psycopg.Connection) -> None:
    conn.execute("CREATE FUNCTION public.mute() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
    for name, move in MOVES.items():
        conn.execute("TRUNCATE pgjobs.jobs, pgjobs.dead_jobs, pgjobs.dependencies, pgjobs.paused_tasks")
        _try(conn, name, move)


def _try(conn: psycopg.Connection, name: str, move: Move) -> None:
    worker = put_worker(conn, {"default": 1})
    columns = {"task": "m:f", **move.columns}
    if columns.get("status") == "running":
        columns["worker_id"] = worker
    ids = [(put_dead if move.dead else put_job)(conn, **columns, summary=summary) for summary in "ab"]
    parameters = move.more(conn, ids, worker)
    before = _rows(conn)
    for table in ("jobs", "dead_jobs") if name == "fail" else ("jobs",):
        for trigger in KEPT_OUT.values():
            conn.execute(trigger.format(table).encode())
            with pytest.raises(psycopg.errors.TriggeredActionException, match="so they stay where they are"):
                conn.execute(statement(name), parameters)
            assert _rows(conn) == before
            conn.execute(f"DROP TRIGGER mute ON pgjobs.{table}".encode())
    conn.execute(statement(name), parameters)
    after = _rows(conn)
    assert [place for place, _ in after] != [place for place, _ in before], "without a trigger it moves them"
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == 2
