"""Whatever holds up one job, or the database, holds up nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.db import migrations as migrate
from pgjobs.db.statements import statement
from pgjobs.embedded import embedded_server
from pgjobs.jobs.outcome import RELEASED, Retried, Snoozed
from pgjobs.worker.claim.cursor import BEGINNING, END_OF_TIME, PRIORITIES
from pgjobs.worker.config import QueueSlots
from pgjobs.worker.local.demand import INBOX_BYTES, prefetch
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.registration import BACKEND_PATIENCE, application_name, register, terminate_backends
from pgjobs.worker.runtime.settle import array, settle
from tests.support import tasks, tasks_holdups
from tests.support.rows import row_of
from tests.support.worker import drain, scalar, states, wait_done, wait_for, work

pytestmark = pytest.mark.in_turns(3)

Row = tuple[int, ...]
SILENCE = "SELECT extract(epoch FROM now() - max(heartbeat_at))::float8 FROM pgjobs.workers"


def claim_one(conn: psycopg.Connection, worker_id: int) -> list[Row]:
    values = {
        "priorities": array(PRIORITIES),
        "run_ats": [BEGINNING[0]] * 10,
        "untils": [END_OF_TIME] * 10,
        "counted_queue": None,
        "ids": array([0] * 10),
        "queue": "default",
        "demand": 1,
        "worker_id": worker_id,
    }
    return conn.execute(statement("claim"), values).fetchall()


# -- the fence -------------------------------------------------------------------------------------------------------


def test_the_answer_of_a_snoozed_attempt_repeated_does_not_match_the_next_one(conn: psycopg.Connection) -> None:
    worker = register(conn, [QueueSlots("default")])
    job = enqueue(conn, tasks.nothing).id
    for outcome in (Snoozed(0.0), RELEASED):
        first = Claim(*claim_one(conn, worker)[0][:2])
        with conn.cursor() as cursor:
            assert settle(cursor, worker, "here", [(first, outcome)]) == []
            second = Claim(*claim_one(conn, worker)[0][:2])
            assert settle(cursor, worker, "here", [(first, outcome)]) == [first]
            assert (row_of(conn, job)["status"], row_of(conn, job)["attempt"]) == ("running", 1)
            assert settle(cursor, worker, "here", [(second, RELEASED)]) == []


def test_outcome_that_cannot_be_stored_affects_neither_others_nor_its_job(conn: psycopg.Connection) -> None:
    worker = register(conn, [QueueSlots("default")])
    jobs = [handle.id for handle in enqueue_many(conn, tasks.nothing, [()] * 3)]
    claims = [Claim(*claim_one(conn, worker)[0][:2]) for _ in jobs]
    nonsense = Retried("no", delay="soon")  # type: ignore[arg-type]
    outcomes = [Retried("no", 1.0), nonsense, Retried("no", 1.0)]
    with conn.cursor() as cursor:
        assert settle(cursor, worker, "here", zip(claims, outcomes, strict=True)) == []
    assert [row_of(conn, job)["status"] for job in jobs] == ["queued"] * 3
    assert "cannot be stored" in row_of(conn, jobs[1])["error"]


# -- jobs ------------------------------------------------------------------------------------------------------------


def test_a_job_that_holds_the_interpreter_past_its_timeout_is_ended_and_the_others_run(
    database_url: str, conn: psycopg.Connection
) -> None:
    job = enqueue(conn, tasks_holdups.hold_the_interpreter).id
    others = enqueue_many(conn, tasks.nothing, [()] * 50)
    with work(database_url, "-q", "default:2") as running:
        wait_done(conn, 30, log=lambda: running.output)
    row = row_of(conn, job)
    assert row["status"] == "failed"
    assert "held the interpreter" in row["error"]
    assert states(conn, f"id <> {job}") == {"completed": len(others)}
    assert scalar(conn, f"SELECT max(attempt) FROM pgjobs.jobs WHERE id <> {job}") == 1


def test_a_job_that_blocks_the_event_loop_is_blamed_and_not_those_that_wait_for_it(
    database_url: str, conn: psycopg.Connection
) -> None:
    blocker = enqueue(conn, tasks_holdups.block_the_loop.options(max_attempts=1), 60.0).id
    with work(database_url, "-q", "default:5", "--grace", 1) as running:
        wait_for(conn, f"(SELECT status = 'running' FROM pgjobs.jobs WHERE id = {blocker})")
        others = enqueue_many(conn, tasks_holdups.rest_a_moment, [()] * 3)
        wait_done(conn, 30, log=lambda: running.output)
    assert "blocked the event loop" in row_of(conn, blocker)["error"]
    assert states(conn, f"id <> {blocker}") == {"completed": len(others)}


def test_a_payload_that_loads_slowly_holds_up_no_other_job_of_its_queue(
    database_url: str, conn: psycopg.Connection
) -> None:
    slow = enqueue(conn, tasks.nothing, tasks_holdups.SlowToLoad()).id
    others = enqueue_many(conn, tasks.nothing, [()] * 5)
    with work(database_url, "-q", "default:2") as running:
        wait_for(conn, f"(SELECT status = 'running' FROM pgjobs.jobs WHERE id = {slow})", log=lambda: running.output)
        wait_for(conn, f"(SELECT count(*) FROM pgjobs.jobs_history) = {len(others)}", 2.0, log=lambda: running.output)
        assert row_of(conn, slow)["status"] == "running"
        wait_done(conn, log=lambda: running.output)


def test_a_process_job_that_closed_its_output_has_completed(database_url: str, conn: psycopg.Connection) -> None:
    job = enqueue(conn, tasks_holdups.close_stdout).id
    drain(database_url)
    assert (row_of(conn, job)["status"], row_of(conn, job)["attempt"]) == ("completed", 1)


def test_prefetched_payloads_are_bounded_by_their_bytes() -> None:
    assert prefetch(1e-5, 10, 120) > 1_000
    assert prefetch(1e-5, 10, 1024 * 1024) * 1024 * 1024 <= INBOX_BYTES


# -- the database ----------------------------------------------------------------------------------------------------


def test_a_burial_that_waits_for_a_lock_does_not_stop_the_heartbeats(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url, "--heartbeat", 0.3, "--rescue-after", 1.5, "--processes", 2) as running:
        with psycopg.connect(database_url) as other:
            other.execute("LOCK pgjobs.dead_jobs IN SHARE MODE")
            job = enqueue(conn, tasks_holdups.leave).id
            ends, oldest = time.monotonic() + 4.0, 0.0
            while time.monotonic() < ends:
                oldest = max(oldest, scalar(conn, SILENCE))
                time.sleep(0.1)
        assert oldest < 1.4
        wait_done(conn, log=lambda: running.output)
        assert row_of(conn, job)["status"] == "failed"
        assert "considered dead" not in running.output


def test_a_lock_on_the_row_of_a_queue_holds_up_none_of_its_jobs(database_url: str, conn: psycopg.Connection) -> None:
    with work(database_url) as running, psycopg.connect(database_url) as other:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.queues)", log=lambda: running.output)
        other.execute("UPDATE pgjobs.queues SET created_at = now()")
        for _ in range(3):
            time.sleep(0.7)  # long enough to want to arm the doorbell
            enqueue(conn, tasks.nothing)
            wait_done(conn, 2.0, log=lambda: running.output)


def test_no_worker_is_considered_dead_before_the_server_has_been_up_long_enough(embedded_directory: Path) -> None:
    with embedded_server(embedded_directory, durable=False) as server:
        migrate.upgrade(server.url)
        with psycopg.connect(server.url, autocommit=True) as conn:
            worker = register(conn, [QueueSlots("default")])
            conn.execute("UPDATE pgjobs.workers SET heartbeat_at = now() - interval '1 day'")
            assert conn.execute(statement("silent_workers"), {"timeout": 3600}).fetchall() == []
            time.sleep(0.3)
            found = conn.execute(statement("silent_workers"), {"timeout": 0.1}).fetchall()
            assert [row[0] for row in found] == [worker]


def test_what_the_server_still_does_for_a_dead_worker_is_ended(database_url: str, conn: psycopg.Connection) -> None:
    def alive(name: str) -> int:
        return int(scalar(conn, "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [name]))

    gone, other = application_name(1, "claim mail"), application_name(12, "claim mail")
    with (
        psycopg.connect(database_url, application_name=gone, autocommit=True),
        psycopg.connect(database_url, application_name=other, autocommit=True),
    ):
        assert (alive(gone), alive(other)) == (1, 1)
        terminate_backends(conn, [1])
        assert (alive(gone), alive(other)) == (0, 1)


def test_a_worker_that_connects_again_while_its_connections_are_ended_is_not_waited_for(
    database_url: str, conn: psycopg.Connection
) -> None:
    name, stop = application_name(1, "claim mail"), threading.Event()

    def live() -> None:
        while not stop.is_set():
            with suppress(psycopg.OperationalError), psycopg.connect(database_url, application_name=name) as own:
                own.execute("SELECT pg_sleep(0.2)")

    thread = threading.Thread(target=live)
    thread.start()
    try:
        wait_for(conn, f"EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '{name}')")
        began = time.monotonic()
        terminate_backends(conn, [1])
        assert time.monotonic() - began < BACKEND_PATIENCE / 2
    finally:
        stop.set()
        thread.join()


def test_a_claim_that_was_under_way_when_its_worker_was_killed_strands_no_job(
    database_url: str, conn: psycopg.Connection
) -> None:
    conn.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END'"
    )
    with work(database_url) as running:
        wait_for(conn, "(SELECT doorbell_until > now() FROM pgjobs.queues)", log=lambda: running.output)
        conn.execute(
            "CREATE TRIGGER dawdle BEFORE UPDATE ON pgjobs.jobs_live FOR EACH ROW "
            "WHEN (NEW.status = 'running') EXECUTE FUNCTION dawdle()"
        )
        job = enqueue(conn, tasks.nothing).id
        wait_for(conn, "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')", log=lambda: running.output)
        for member in running.members():
            os.kill(member, signal.SIGKILL)
        wait_done(conn, 15, log=lambda: running.output)
    assert (row_of(conn, job)["status"], row_of(conn, job)["attempt"]) == ("completed", 1)
