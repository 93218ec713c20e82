"""Transactions of others that stay open: what they have locked is written later, and nothing else waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from pgjobs import Sequence, Unique, Workflow, enqueue
from pgjobs.admin import (
    Change,
    cancel_jobs,
    discard_dead,
    pause_workflow,
    replay_dead,
    retry_jobs,
    set_jobs,
    show_workflow,
)
from pgjobs.admin.breakers import open_breaker
from pgjobs.db.dependencies import settle_dependencies
from pgjobs.jobs.outcome import COMPLETED, Failed, Outcome, Parked
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import settle as write_outcomes
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker
from tests.support.acknowledging import acknowledging
from tests.support.functions import add
from tests.support.processes import wait_until
from tests.support.rows import put_job, put_worker, row_of
from tests.support.worker import wait_for

FAILED = Failed("no")


@contextmanager
def open_transaction(url: str) -> Iterator[psycopg.Connection]:
    """Begin a transaction of an application, and give it up in the end."""
    with psycopg.connect(url) as user:
        yield user
        user.rollback()


@pytest.fixture
def worker(conn: psycopg.Connection) -> int:
    return put_worker(conn, {"default": 9})


def status(conn: psycopg.Connection, *jobs: int) -> list[str]:
    return [row_of(conn, job)["status"] for job in jobs]


def run(conn: psycopg.Connection, worker: int, *jobs: int) -> None:
    """Have a worker run these queued or waiting jobs."""
    conn.execute(
        "UPDATE pgjobs.jobs SET status = 'running', worker_id = %s, claims = 1, attempt = 1, started_at = now()"
        " WHERE id = ANY (%s) AND status IN ('queued', 'waiting')",
        [worker, list(jobs)],
    )


@pytest.mark.parametrize(
    ("commit", "outcome"), [(True, COMPLETED), (False, COMPLETED), (True, FAILED), (False, FAILED)]
)
def test_a_job_that_an_open_transaction_cancels_holds_up_no_other_and_is_written_after_it(
    conn: psycopg.Connection,
    database_url: str,
    worker: int,
    commit: bool,
    outcome: Outcome,
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = {"status": "running", "worker_id": worker, "claims": 1}
    held, *others = [put_job(conn, **running) for _ in range(5)]
    with open_transaction(database_url) as user, acknowledging(database_url, worker) as acknowledger:
        cancel_jobs(user, [held])
        acknowledger.put({held: outcome, **dict.fromkeys(others[:2], outcome)})
        wait_for(
            conn, f"(SELECT bool_and(status <> 'running') FROM pgjobs.jobs WHERE id IN ({others[0]}, {others[1]}))"
        )
        wait_until(lambda: {job.id for job in acknowledger.local_queue.unfinished()} == {held})  # a drain waits for it
        acknowledger.put(dict.fromkeys(others[2:], COMPLETED))
        wait_for(
            conn, f"(SELECT bool_and(status = 'completed') FROM pgjobs.jobs WHERE id IN ({others[2]}, {others[3]}))"
        )
        assert status(conn, held) == ["running"]
        assert f"idle in transaction in process {user.info.backend_pid} of the server" in caplog.text
        (user.commit if commit else user.rollback)()
        wait_until(lambda: not acknowledger.local_queue.unfinished())
    ended = "completed" if outcome is COMPLETED else ("cancelled" if commit else "failed")
    assert status(conn, held) == [ended]
    assert caplog.text.count("are locked by other transactions") == 1
    assert "no longer belong" not in caplog.text
    assert "cannot be used now" not in caplog.text


@pytest.mark.parametrize(("outcome", "released"), [(COMPLETED, "queued"), (FAILED, "cancelled")])
@pytest.mark.parametrize("commit", [True, False])
def test_a_job_that_an_open_transaction_changes_holds_up_neither_what_it_waits_for_nor_what_waits_beside_it(
    conn: psycopg.Connection, database_url: str, worker: int, outcome: Outcome, released: str, commit: bool
) -> None:
    with conn.transaction():
        needed = enqueue(conn, add, 1).id
        held, other = (enqueue(conn, add.options(after=[needed], if_failed="cancel"), n).id for n in range(2))
    run(conn, worker, needed)
    with open_transaction(database_url) as user, acknowledging(database_url, worker) as acknowledger:
        set_jobs(user, [held], priority=7)
        acknowledger.put({needed: outcome})
        wait_until(lambda: status(conn, needed) != ["running"])
        assert status(conn, held, other) == ["waiting", released]
        settle(conn)
        assert status(conn, held) == ["waiting"]
        (user.commit if commit else user.rollback)()
    settle(conn)
    assert status(conn, held) == [released]
    assert conn.execute("SELECT count(*) FROM pgjobs.dependencies").fetchall() == [(0,)]


def settle(conn: psycopg.Connection) -> None:
    with conn.transaction(), conn.cursor() as cursor:
        settle_dependencies(cursor)


STEP = add.options(sequence=Sequence("doc:1", on_failure="end"))
NEWEST = STEP.options(unique=Unique("newest", on_conflict="replace"))


@pytest.mark.parametrize("commit", [True, False])
def test_a_sequence_that_ends_while_a_job_of_it_is_replaced_does_not_go_on_before_it_has_ended(
    conn: psycopg.Connection, database_url: str, worker: int, commit: bool
) -> None:
    first, held, other = enqueue(conn, STEP, 1).id, enqueue(conn, NEWEST, 2).id, enqueue(conn, STEP, 3).id
    run(conn, worker, first)
    with open_transaction(database_url) as user, acknowledging(database_url, worker) as acknowledger:
        enqueue(user, NEWEST, 4)
        acknowledger.put({first: FAILED})
        wait_until(lambda: status(conn, first) == ["failed"])
        assert status(conn, held, other) == ["waiting", "cancelled"]
        new = enqueue(conn, STEP, 5).id
        assert not heads(conn)
        settle(conn)
        assert not heads(conn)
        (user.commit if commit else user.rollback)()
    settle(conn)
    assert status(conn, held, new) == ["cancelled", "waiting"]
    assert heads(conn) == [new]


def test_what_came_into_a_sequence_while_its_end_was_written_ends_with_it(
    database_url: str, conn: psycopg.Connection, worker: int
) -> None:
    sequence = Sequence("s", on_failure="end")
    failing = enqueue(conn, add.options(sequence=sequence), 1, 2).id
    run(conn, worker, failing)
    with psycopg.connect(database_url) as slow, slow.cursor() as cursor:
        cursor.execute("SELECT now()")  # a batch of outcomes takes a while, and began before
        later = enqueue(conn, add.options(sequence=sequence), 1, 2).id
        write_outcomes(cursor, worker, "host", [(Claim(failing, 1), FAILED)])
        slow.commit()
    assert status(conn, failing, later) == ["failed", "cancelled"]


@pytest.mark.parametrize("change", [discard_dead, replay_dead, retry_jobs])
def test_the_letter_that_ends_a_sequence_stays_until_the_sequence_has_ended(
    conn: psycopg.Connection, database_url: str, worker: int, change: Callable[..., Change]
) -> None:
    first, held = enqueue(conn, STEP, 1).id, enqueue(conn, NEWEST, 2).id
    run(conn, worker, first)
    with open_transaction(database_url) as user, acknowledging(database_url, worker) as acknowledger:
        enqueue(user, NEWEST, 4)
        acknowledger.put({first: FAILED})
        wait_until(lambda: status(conn, first) == ["failed"])
        refused = change(conn, [first])
        assert refused.done == ()
        assert "try again" in refused.refused[0].reason
        assert not heads(conn)
    settle(conn)
    assert status(conn, held) == ["cancelled"]
    assert change(conn, [first]).done == (first,)


def test_a_workflow_that_an_open_transaction_has_locked_holds_up_no_other_and_ends_after_it(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    flows = [enqueue(conn, flow_of(add, 1, 2)).id for _ in range(2)]
    steps = [row[0] for row in conn.execute("SELECT job_id FROM pgjobs.workflow_steps ORDER BY workflow_id")]
    plain = enqueue(conn, add, 1, 2).id
    run(conn, worker, *steps, plain)
    with open_transaction(database_url) as user, acknowledging(database_url, worker) as acknowledger:
        pause_workflow(user, flows[0])
        acknowledger.put(dict.fromkeys(steps, COMPLETED))
        wait_until(lambda: show_workflow(conn, flows[1]).status == "completed", 2)
        acknowledger.put({plain: COMPLETED})
        wait_until(lambda: status(conn, plain) == ["completed"], 2)
        assert show_workflow(conn, flows[0]).status == "running"
        user.rollback()
        wait_until(lambda: show_workflow(conn, flows[0]).status == "completed", 2)


def test_steps_that_an_open_transaction_has_cancelled_hold_up_no_other_step(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    """They are counted, in rows of their own."""
    flow = flow_of(add, 1, 2)
    for _ in range(40):
        flow.add(add, 1, 2)
    enqueue(conn, flow)
    step, *others = [row[0] for row in conn.execute("SELECT job_id FROM pgjobs.workflow_steps ORDER BY job_id")]
    run(conn, worker, step)
    with ExitStack() as stack:
        for other in others:
            cancel_jobs(stack.enter_context(open_transaction(database_url)), other)
        with acknowledging(database_url, worker) as acknowledger:
            acknowledger.put({step: COMPLETED})
            wait_until(lambda: status(conn, step) == ["completed"], 2)


def flow_of(step: Callable[..., object], *arguments: object) -> Workflow:
    flow = Workflow("of one")
    flow.add(step, *arguments)
    return flow


def heads(conn: psycopg.Connection) -> list[int]:
    return [row[0] for row in conn.execute("SELECT * FROM pgjobs.head_of_sequence('doc:1')")]


def test_a_rescue_does_not_wait_for_what_an_open_transaction_has_locked(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    with conn.transaction():
        needed, mine = enqueue(conn, add.options(max_attempts=1), 1).id, enqueue(conn, add, 2).id
        held = enqueue(conn, add.options(after=[needed], if_failed="cancel"), 2).id
    run(conn, worker, needed, mine)
    conn.execute("SET lock_timeout = '2s'")
    with open_transaction(database_url) as user:
        set_jobs(user, [held], priority=7)
        cancel_jobs(user, [mine])
        settle_dead_worker(conn, WorkerExit(worker, "killed", frozenset({Claim(needed, 1)})))
        assert status(conn, needed, mine, held) == ["failed", "running", "waiting"]
        user.rollback()
    settle(conn)
    assert status(conn, held) == ["cancelled"]


def test_a_job_whose_pause_ends_in_an_open_transaction_holds_up_no_other(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    conn.execute("INSERT INTO pgjobs.paused_tasks (task, patterns) VALUES ('shop:sell', '{shop:sell}')")
    running = {"status": "running", "worker_id": worker, "claims": 1, "task": "shop:sell"}
    held, other = put_job(conn, **running), put_job(conn, **running)
    with open_transaction(database_url) as user, acknowledging(database_url, worker) as acknowledger:
        user.execute("DELETE FROM pgjobs.paused_tasks")
        acknowledger.put({held: Parked("shop:sell"), other: FAILED})
        wait_until(lambda: status(conn, other) == ["failed"])
        assert status(conn, held) == ["running"]
        user.commit()
        wait_until(lambda: not acknowledger.local_queue.unfinished())
    assert status(conn, held) == ["queued"]


def test_a_breaker_that_an_open_transaction_opens_holds_up_no_other_breaker(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    running = {"status": "running", "worker_id": worker, "claims": 1}
    first, second = put_job(conn, **running), put_job(conn, **running)
    conn.execute("INSERT INTO pgjobs.breakers (name) VALUES ('a'), ('b')")
    calls = "SELECT jsonb_array_length(calls) > 0 FROM pgjobs.breakers WHERE name = '{}'"
    with open_transaction(database_url) as user, acknowledging(database_url, worker) as acknowledger:
        open_breaker(user, "a")
        acknowledger.put({first: COMPLETED}, lane="\x1f\x1f\x1fa", breaker="a")
        wait_until(lambda: status(conn, first) == ["completed"])
        acknowledger.put({second: COMPLETED}, lane="\x1f\x1f\x1fb", breaker="b")
        wait_for(conn, f"({calls.format('b')})")
        user.rollback()
        wait_for(conn, f"({calls.format('a')})")
