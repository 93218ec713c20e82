"""What `pgjobs top` reads, and how it is written for a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pgjobs.cli.top.snapshot import MAX_DUE, take_snapshot
from tests.support.rows import put_dead, put_job, put_worker

if TYPE_CHECKING:
    import psycopg

    from tests.cli.conftest import Cli


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def put_running(conn: psycopg.Connection, worker: int, **columns: object) -> int:
    values = {"status": "running", "attempt": 1, "claims": 1, "worker_id": worker, "started_at": ago(60)}
    return put_job(conn, **{**values, **columns})


def test_queues_come_with_the_most_urgent_first(conn: psycopg.Connection) -> None:
    conn.execute("INSERT INTO pgjobs.queues (name, sla, paused) VALUES ('strict', 10, false), ('idle', 10, true)")
    put_job(conn, queue="strict", run_at=ago(20))
    put_job(conn, queue="slow", run_at=ago(600))
    put_job(conn, queue="quick", run_at=ago(2))
    put_job(conn, queue="later", run_at=ago(-600))
    found = take_snapshot(conn)

    assert [queue.name for queue in found.queues] == ["strict", "slow", "quick", "idle", "later"]
    strict, slow, _, idle, later = found.queues
    assert strict.is_late
    assert (strict.sla, strict.due, idle.paused, later.due, later.latency) == (10, 1, True, 0, None)
    assert slow.latency == pytest.approx(600, abs=30)


def test_counts_end_and_a_limit_of_a_tenant_counts_as_due(conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (queue, status, task, payload) SELECT 'many', 'queued', 'a:b', '' "
        "FROM generate_series(1, %s)",
        [MAX_DUE + 50],
    )
    put_job(conn, queue="turns", status="waiting", lane="acme", run_at=ago(30))
    many, turns = sorted(take_snapshot(conn).queues, key=lambda queue: queue.name)

    assert (many.due, turns.due) == (MAX_DUE + 1, 1)
    assert turns.latency == pytest.approx(30, abs=10)


def test_what_runs_is_listed_by_age_with_its_progress(conn: psycopg.Connection) -> None:
    worker = put_worker(conn, {"mail": 10})
    young, old = put_running(conn, worker, queue="mail", started_at=ago(5)), put_running(conn, worker, queue="mail")
    conn.execute("INSERT INTO pgjobs.progress (job_id, done, total, message) VALUES (%s, 4, 10, 'page 4')", [old])
    for _ in range(30):
        put_job(conn, queue="mail")
    found = take_snapshot(conn)

    assert [(job.id, job.done, job.message) for job in found.running] == [(old, 4, "page 4"), (young, None, None)]
    assert (found.running_in_all, [queue.running for queue in found.queues]) == (2, [2])
    assert [(each.id, each.queues) for each in found.workers] == [(worker, {"mail": 10})]


def test_a_text_finds_queues_jobs_and_letters(conn: psycopg.Connection) -> None:
    worker = put_worker(conn, {"mail": 10, "other": 10})
    put_running(conn, worker, queue="other", summary="send(42)")
    mail = put_running(conn, worker, queue="mail", summary="SEND('MAIL')")
    put_dead(conn, queue="other", error="ValueError: no")
    letter = put_dead(conn, queue="other", error="MailError: no")
    found = take_snapshot(conn, "Mail")

    assert [queue.name for queue in found.queues] == ["mail"]
    assert ([job.id for job in found.running], [each.id for each in found.letters]) == ([mail], [letter])


@pytest.mark.parametrize("queues", ["[]", '"mail"', "null", '{"mail": {"a": [1]}}'])
def test_a_worker_whose_row_was_written_by_hand_is_shown(conn: psycopg.Connection, cli: Cli, queues: str) -> None:
    worker = put_worker(conn, {"mail": 1})
    conn.execute("UPDATE pgjobs.workers SET queues = %s WHERE id = %s", [queues, worker])
    shown = cli("top", "--once")

    assert (shown.code, shown.err) == (0, "")
    assert str(worker) in shown.out


def test_one_snapshot_is_printed_for_scripts(conn: psycopg.Connection, cli: Cli) -> None:
    put_job(conn, queue="mail", run_at=ago(75))
    put_running(conn, put_worker(conn, {"mail": 1}), queue="mail", summary="send(42)")
    letter = put_dead(conn, queue="mail", error="ValueError: no")
    shown, as_json = cli("top", "--once"), cli("top", "--json", "--filter", "MAIL")

    assert shown.out.startswith("1 queues · 1 workers · 1 running · 1 dead\n")
    assert "send(42)" in shown.out
    assert f"\n{letter:>3}" in shown.out
    assert [queue["name"] for queue in json.loads(as_json.out)["queues"]] == ["mail"]


def test_without_a_terminal_or_textual_a_line_says_what_to_do(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "use --once" in cli("top").err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "textual.app", None)
    monkeypatch.delitem(__import__("sys").modules, "pgjobs.cli.top.app", raising=False)
    shown = cli("top")

    assert (shown.code, "pip install 'pgjobs-runner[top]'" in shown.err) == (1, True)
