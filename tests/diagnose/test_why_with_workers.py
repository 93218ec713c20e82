"""Why a job does not run, where workers are the reason: each is produced for real."""

from __future__ import annotations

import os
import random
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many, why
from pgjobs.admin import pause_everything, pause_task
from pgjobs.diagnose.doctor import doctor
from pgjobs.diagnose.why import Why, look
from pgjobs.diagnose.why import queue as queue_reasons
from tests.support import tasks, tasks_results
from tests.support.processes import wait_until
from tests.support.rows import flush_statistics, put_job
from tests.support.worker import Work, states, wait_done, wait_for, work

pytestmark = pytest.mark.in_turns(3)

NOWHERE = b"\x80\x04(cnowhere\nsend\n)}t."  # a call of nowhere.send(), whose module is not there
SOON = ("--heartbeat", "0.5", "--rescue-after", "5")


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


def test_workers_claim_a_job_and_cannot_import_it(database_url: str, conn: psycopg.Connection) -> None:
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


def test_a_job_that_waits_for_one_of_its_own_full_queue_is_named(database_url: str, conn: psycopg.Connection) -> None:
    ways = [(tasks_results.wait_for_another, way) for way in ("result", "results", "as_completed")]
    with work(database_url, "-q", "default:5", "--grace", 0, env={tasks.URL: database_url}) as running:
        waiters = [enqueue(conn, function, way).id for function, way in ways]
        waiters += [enqueue(conn, each).id for each in (tasks_results.wait_on_loop, tasks_results.wait_in_child)]
        for waiter in waiters:
            answer = until(conn, waiter, "awaits", running)
            other = answer.facts["id"]
            named = f"Job {waiter} runs and waits for job {other} of its own queue default, which has no free slot."
            assert answer.sentence == named
            assert until(conn, other, "awaited").sentence == named
        (finding,) = [each for each in doctor(conn).findings if each.name == "awaited"]
        assert finding.facts["waiters"][0] in waiters
        assert "Start more workers or slots" in finding.next_step
        with work(database_url, "-q", "default:5"):  # which has free slots
            wait_done(conn, log=lambda: running.output)
        over = "NOT EXISTS (SELECT FROM pgjobs.progress WHERE waits_for IS NOT NULL)"
        wait_for(conn, over, log=lambda: f"{conn.execute('TABLE pgjobs.progress').fetchall()}\n{running.output}")
        assert states(conn) == {"completed": 10}
        assert "awaited" not in {each.name for each in doctor(conn).findings}


def test_a_worker_that_is_stopped_claims_nothing_though_its_slots_are_free(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url, "-q", "default:3") as running:
        (member,) = running.members()
        os.kill(member, signal.SIGSTOP)
        try:
            job = enqueue(conn, tasks.nothing.options(run_at=late())).id
            answer = until(conn, job, "not_claiming", running)
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
            flush_statistics(conn)
            job = enqueue(conn, tasks.nothing.options(run_at=late())).id
            answer = until(conn, job, "snapshot_held", running)
            assert (answer.facts["pid"], answer.facts["application"]) == (holder.info.backend_pid, "report")
            assert answer.next_step == f"End it, if it may end: SELECT pg_terminate_backend({holder.info.backend_pid})."
            assert look(conn, job, cap=0).cap == 0
        finally:
            os.kill(member, signal.SIGCONT)


def test_jobs_that_share_something_hold_each_other_up(database_url: str, conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs.limits (name, concurrency, rate, period) "
        "VALUES ('api:*', 1, NULL, NULL), ('slow:*', NULL, 1, '1 h')"
    )
    conn.execute(
        "INSERT INTO pgjobs.breakers (name, state, until, probes) "
        "VALUES ('stripe', 'open', now() + interval '1 h', 1), ('mail', 'open', now() - interval '1 s', 1)"
    )
    conn.execute("INSERT INTO pgjobs.queues (name, concurrency) VALUES ('one', 1)")
    conn.execute("INSERT INTO pgjobs.queues (name, rate, period) VALUES ('rated', 1, '1 h')")
    nap, nothing = tasks.nap, tasks.nothing

    def two(first: Any, *arguments: object, second: Any = None) -> list[int]:
        return [enqueue(conn, each, *arguments).id for each in (first, second or first)]

    held = {
        "limit": two(nap.options(limit="api:acme"), 600),
        "rate": two(nothing.options(limit="slow:acme")),
        "sequence": two(nap.options(sequence="account:1"), 600),
        "breaker_half_open": two(nap.options(breaker="mail"), 600),
        "queue_limit": two(nap.options(queue="one"), 600),
        "queue_rate": two(nothing.options(queue="rated")),
    }
    failing = enqueue(conn, tasks.always_fail.options(max_attempts=1, sequence="account:2")).id
    held["sequence_blocked"] = [failing, enqueue(conn, nothing.options(sequence="account:2")).id]
    held["breaker_open"] = [failing, enqueue(conn, nothing.options(breaker="stripe")).id]
    held["needs"] = [held["limit"][0], enqueue(conn, nothing.options(after=held["limit"][:1])).id]
    held["expired"] = two(nothing.options(queue="nobody", expires=0.001))
    queues = ["-q", "default:9", "-q", "one:5", "-q", "rated:5"]
    with work(database_url, *queues, "--grace", 0) as running:
        found = {reason: until(conn, job, reason, running) for reason, (_, job) in held.items()}
        assert found["limit"].facts["holders"] == held["limit"][:1]
        assert found["sequence"].facts["head_state"] == "running"
        assert found["breaker_half_open"].facts["probes"] == held["breaker_half_open"][:1]
        assert found["queue_limit"].facts["holders"] == held["queue_limit"][:1]
        assert found["sequence_blocked"].facts["dead"] == failing
        assert found["needs"].facts["needs"] == {str(held["limit"][0]): "running"}
        for reason in ("rate", "queue_rate"):
            assert 3000 < (found[reason].facts["next_at"] - datetime.now(UTC)).total_seconds() < 3700


def test_tenants_take_turns(database_url: str, conn: psycopg.Connection) -> None:
    acme = tasks.nap.options(fair_by="acme{seconds}")
    first, _, third = (enqueue(conn, acme, 600).id for _ in range(3))
    enqueue(conn, tasks.nap.options(fair_by="other{seconds}"), 600)
    with work(database_url, "-q", "default:1", "--grace", 0) as running:
        until(conn, first, "running", running)
        answer = until(conn, third, "turn", running)
    assert answer.facts == {"tenant": "acme600", "before": 1, "others": 1}


def test_what_is_paused_is_said(database_url: str, conn: psycopg.Connection) -> None:
    pause_task(conn, "tests.support.tasks:nothing")
    with work(database_url) as running:
        job = enqueue(conn, tasks.nothing).id
        wait_for(conn, f"(SELECT held = 'task' FROM pgjobs.jobs WHERE id = {job})", log=lambda: running.output)
        assert why(conn, job).next_step == "Resume the task: `pgjobs tasks resume tests.support.tasks:nothing`."
        pause_everything(conn)
        assert [why(conn, job).reason, why(conn, job).also[0].name] == ["everything_paused", "task_paused"]


def test_while_four_workers_work_and_all_are_killed_there_is_always_an_answer(
    database_url: str, conn: psycopg.Connection
) -> None:
    ids = [handle.id for handle in enqueue_many(conn, tasks.nap, [(0.01,)] * 300)]
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
