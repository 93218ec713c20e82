"""Why a job does not run, where workers are the reason: each is produced for real."""

from __future__ import annotations

import os
import pickle
import random
import signal
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many, why
from pgjobs.admin.why import Why, look
from pgjobs.admin.why import queue as queue_reasons
from tests.support import tasks
from tests.support.processes import wait_until
from tests.support.rows import put_job
from tests.support.worker import Work, states, wait_done, work

NOWHERE = b"\x80\x04(cnowhere\nsend\n)}t."  # a call of nowhere.send(), whose module is not there
SOON = ("--heartbeat", "0.5", "--rescue-after", "2.5")
NAP = pickle.dumps((tasks.nap, (600.0,), {}))


def until(conn: psycopg.Connection, job: int, reason: str, running: Work | None = None) -> Why:
    """Ask until it is this reason."""
    found: list[Why] = []

    def asked() -> bool:
        found.append(why(conn, job))
        return found[-1].reason == reason

    try:
        wait_until(asked, 20)
    except AssertionError:
        raise AssertionError(f"{found[-1]}\n{running.output if running else ''}") from None
    return found[-1]


def late() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=20)


def test_workers_take_it_and_can_not_import_it(database_url: str, conn: psycopg.Connection) -> None:
    job = put_job(conn, task="nowhere:send", payload=NOWHERE)
    with work(database_url) as running:
        answer = until(conn, job, "cannot_import", running)
    assert "got ModuleNotFoundError: No module named 'nowhere' in attempt 1 of 5" in answer.sentence
    assert answer.next_step.startswith("Install the code of nowhere:send where the workers of queue default run (")


def test_what_runs_what_is_next_and_what_is_behind(database_url: str, conn: psycopg.Connection) -> None:
    first, second, third = (enqueue(conn, tasks.nap.options(timeout=900), 600).id for _ in range(3))
    elsewhere = enqueue(conn, tasks.nothing.options(queue="mail")).id
    with work(database_url, "-q", "default:1", "--grace", 0) as running:
        assert "it may take 15 min" in until(conn, first, "running", running).sentence
        answer = until(conn, second, "busy", running)
        assert answer.facts == {"slots": 1, "running": 1, "ids": [first]}
        assert until(conn, third, "behind", running).facts["ahead"] == 1
        assert until(conn, elsewhere, "no_worker").facts["queues_with_workers"] == ["default"]


def test_a_worker_that_is_stopped_claims_nothing_though_its_slots_are_free(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url, "-q", "default:3") as running:
        (member,) = running.members()
        os.kill(member, signal.SIGSTOP)
        try:
            job = enqueue(conn, tasks.nothing.options(run_at=late())).id
            answer = until(conn, job, "deaf", running)
            assert "though 3 slots of its queue default are free" in answer.sentence
            assert f"pid {member}" in answer.next_step
        finally:
            os.kill(member, signal.SIGCONT)
        wait_done(conn, log=lambda: running.output)


def test_claims_that_wade_through_dead_rows_name_who_holds_the_snapshot(
    database_url: str, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_reasons, "OLD_SNAPSHOT", 0.0)
    conn.execute("ALTER TABLE pgjobs.jobs_live SET (autovacuum_enabled = off)")
    with psycopg.connect(database_url, application_name="report") as holder, work(database_url) as running:
        holder.execute("SELECT pg_current_xact_id()")
        (member,) = running.members()
        os.kill(member, signal.SIGSTOP)  # in the place of claims that take seconds
        try:
            conn.execute("INSERT INTO pgjobs.jobs_live (task, payload) SELECT 'x', 'x' FROM generate_series(1, 60000)")
            conn.execute("DELETE FROM pgjobs.jobs_live")
            conn.execute("SELECT pg_stat_force_next_flush()")
            job = enqueue(conn, tasks.nothing.options(run_at=late())).id
            answer = until(conn, job, "snapshot_held", running)
            assert (answer.facts["pid"], answer.facts["application"]) == (holder.info.backend_pid, "report")
            assert answer.next_step == f"End it, if it may end: SELECT pg_terminate_backend({holder.info.backend_pid})."
            assert look(conn, job, cap=0).cap == 0
        finally:
            os.kill(member, signal.SIGCONT)


def test_jobs_that_share_a_limit_a_sequence_or_a_breaker_hold_each_other_up(
    database_url: str, conn: psycopg.Connection
) -> None:
    conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('api:*', 1)")
    conn.execute("INSERT INTO pgjobs.breakers (name, state, until) VALUES ('stripe', 'open', now() + interval '1 h')")

    def waiting(**keys: str) -> int:
        lane = "\x1f".join(["", keys.get("limit_key", ""), keys.get("sequence", ""), keys.get("breaker", "")])
        return put_job(conn, status="waiting", payload=NAP, lane=lane, **keys)

    limited = [waiting(limit_key="api:acme") for _ in range(2)]
    ordered = [waiting(sequence="account:1") for _ in range(2)]
    broken = waiting(breaker="stripe")
    with work(database_url, "-q", "default:9", "--grace", 0) as running:
        assert until(conn, limited[1], "limit", running).facts["holders"] == limited[:1]
        assert until(conn, ordered[1], "sequence", running).facts["head_state"] == "running"
        assert until(conn, broken, "breaker_open", running).facts["breaker"] == "stripe"
        assert [why(conn, job).reason for job in (limited[0], ordered[0])] == ["running", "running"]


def test_while_four_workers_work_and_all_are_killed_there_is_always_an_answer(
    database_url: str, conn: psycopg.Connection
) -> None:
    ids = [handle.id for handle in enqueue_many(conn, tasks.nap, [(0.01,)] * 1000)]
    reasons = set()
    with work(database_url, "-q", "other:1", *SOON) as others:
        with work(database_url, "--processes", 4, *SOON) as running:
            long = enqueue(conn, tasks.nap.options(priority=0), 600).id
            until(conn, long, "running", running)
            running.kill()
        answer = until(conn, long, "silent", others)
        assert "it is taken back " in answer.sentence
        until(conn, long, "no_worker", others)
        conn.execute("DELETE FROM pgjobs.jobs_live WHERE id = %s", [long])
        with work(database_url, "--processes", 4) as again:
            while "completed" not in reasons or states(conn).get("completed", 0) < len(ids):
                reasons.add(why(conn, random.choice(ids)).reason)  # noqa: S311 (any of them will do)
                assert again.process.poll() is None
    assert reasons <= {"completed", "running", "next", "behind", "busy", "retried"}
