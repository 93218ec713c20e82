"""The end of a job starts the next one of its lane, in the same transaction, where a claim would start it too."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import psycopg
import pytest

from pgjobs import Workflow, enqueue, enqueue_many
from pgjobs.admin import pause_everything, pause_queue, pause_task, set_limit, set_queue_limit
from pgjobs.db.connection import connect_hot
from pgjobs.db.statements import statement
from pgjobs.flow.limits import LimitSettings
from pgjobs.jobs.outcome import COMPLETED
from pgjobs.worker.acknowledge.hand_over import HandOver
from pgjobs.worker.claim.producer import Producer
from pgjobs.worker.local.claimed_job import COLUMNS, ClaimedJob
from pgjobs.worker.local.local_queue import LocalQueue
from pgjobs.worker.local.producer_signals import LostClaims
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection
from tests.support import tasks_flow as tasks
from tests.support.acknowledging import acknowledging
from tests.support.claimed import claimed_job
from tests.support.functions import add
from tests.support.processes import wait_until
from tests.support.rows import put_dead, put_worker, row_of
from tests.support.worker import scalar, wait_for, work

SEQUENCE, LIMIT = "complete_and_continue_sequences", "complete_and_refill_limits"
STEP = add.options(sequence="account:1")
CALL = add.options(limit="api")


@pytest.fixture
def worker(conn: psycopg.Connection) -> int:
    return put_worker(conn, {"default": 9})


def start(conn: psycopg.Connection, worker: int, *jobs: int) -> None:
    """Claim these waiting jobs."""
    conn.execute(
        "UPDATE pgjobs.jobs SET status = 'running', worker_id = %s, claims = 1, attempt = 1, started_at = now()"
        " WHERE id = ANY (%s) AND status = 'waiting'",
        [worker, list(jobs)],
    )


def end(conn: psycopg.Connection, name: str, worker: int, *jobs: int) -> tuple[list[int], int]:
    """Complete these jobs; return what was claimed, and how many have completed."""
    values: dict[str, Any] = {"ids": list(jobs), "claim_numbers": [1] * len(jobs), "worker_id": worker}
    *rows, last = conn.execute(statement(name), values).fetchall()
    return [row[0] for row in rows], last[0]


@pytest.mark.parametrize("name", [SEQUENCE, LIMIT])
def test_rows_of_claimed_jobs_have_the_columns_of_a_claimed_job(conn: psycopg.Connection, name: str) -> None:
    cursor = conn.execute(statement(name), {"ids": [], "claim_numbers": [], "worker_id": 1})
    assert [column.name for column in cursor.description or ()] == [*COLUMNS, "lane", "breaker", "queue"]


def test_the_next_job_of_a_sequence_starts_when_one_ends(conn: psycopg.Connection, worker: int) -> None:
    first, second, third = (enqueue(conn, STEP, n).id for n in range(3))
    start(conn, worker, first)
    assert end(conn, SEQUENCE, worker, first) == ([second], 1)
    row = row_of(conn, second)
    assert (row["status"], row["worker_id"], row["claims"], row["attempt"]) == ("running", worker, 1, 1)
    assert row["started_at"] == row_of(conn, first)["finished_at"]
    assert row_of(conn, third)["status"] == "waiting"


def test_as_many_jobs_of_a_limit_start_as_end(conn: psycopg.Connection, worker: int) -> None:
    set_limit(conn, "api", LimitSettings(3))
    jobs = [handle.id for handle in enqueue_many(conn, CALL, [(n,) for n in range(8)])]
    start(conn, worker, *jobs[:3])
    assert end(conn, LIMIT, worker, *jobs[:2]) == (jobs[3:5], 2)
    set_limit(conn, "api", LimitSettings(2))
    assert end(conn, LIMIT, worker, *jobs[2:4]) == (jobs[5:6], 2)
    set_limit(conn, "api", LimitSettings(1))
    assert end(conn, LIMIT, worker, jobs[4]) == ([], 1)
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs_live") == 1


def test_lanes_that_share_a_limit_share_what_is_left_of_it_when_it_was_lowered(
    conn: psycopg.Connection, worker: int
) -> None:
    set_limit(conn, "api", LimitSettings(4))
    plain = [handle.id for handle in enqueue_many(conn, CALL, [(n,) for n in range(6)])]
    urgent = [handle.id for handle in enqueue_many(conn, CALL.options(priority=1), [(n,) for n in range(6)])]
    start(conn, worker, *plain[:2], *urgent[:2])
    set_limit(conn, "api", LimitSettings(2))
    started, ended = end(conn, LIMIT, worker, *plain[:1], *urgent[:2])
    assert (started, ended) == (urgent[2:3], 3)
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs_live") == 2


def block(conn: psycopg.Connection) -> None:
    put_dead(conn, sequence="account:1", on_failure="block")


def lower(conn: psycopg.Connection) -> None:
    set_limit(conn, "api", LimitSettings(0))


def slow(conn: psycopg.Connection) -> None:
    conn.execute("UPDATE pgjobs.limits SET rate = 1, period = '1 h'")


def set_all(change: str) -> Any:
    return lambda conn: conn.execute(f"UPDATE pgjobs.jobs_waiting SET {change}".encode())


BOTH = {
    "the queue is paused": lambda conn: pause_queue(conn, "default"),
    "everything is paused": pause_everything,
    "a task is paused": lambda conn: pause_task(conn, "m:f"),
    "the queue has a limit": lambda conn: set_queue_limit(conn, "default", LimitSettings(5)),
    "the worker was considered dead": lambda conn: conn.execute("DELETE FROM pgjobs.workers"),
    "it is due later": set_all("run_at = now() + interval '1 h', held = 'later'"),
    "it has expired": set_all("expires_at = now() - interval '1 s'"),
    "it is in another queue": set_all("queue = 'other'"),
    "it has another priority": set_all("priority = 9"),
}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, change) for name in (SEQUENCE, LIMIT) for change in BOTH.values()),
        *((SEQUENCE, block), (LIMIT, lower), (LIMIT, slow)),
    ],
)
def test_nothing_starts_where_a_claim_would_have_to_look_at_more(
    conn: psycopg.Connection, worker: int, name: str, change: Any
) -> None:
    set_limit(conn, "api", LimitSettings(1))
    first, _ = (enqueue(conn, STEP if name == SEQUENCE else CALL, n).id for n in range(2))
    start(conn, worker, first)
    change(conn)
    assert end(conn, name, worker, first) == ([], 1)
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs_live") == 0


@pytest.mark.parametrize(("name", "task"), [(SEQUENCE, STEP), (LIMIT, CALL)])
def test_a_job_that_another_worker_has_now_starts_nothing(
    conn: psycopg.Connection, worker: int, name: str, task: Any
) -> None:
    set_limit(conn, "api", LimitSettings(1))
    first, second = (enqueue(conn, task, n).id for n in range(2))
    start(conn, worker + 1, first)
    assert end(conn, name, worker, first) == ([], 0)
    assert row_of(conn, second)["status"] == "waiting"


@pytest.mark.parametrize("spare", [True, False])
def test_the_acknowledger_hands_over_while_nothing_else_waits(
    conn: psycopg.Connection, database_url: str, worker: int, spare: bool
) -> None:
    first, second = (enqueue(conn, STEP, n).id for n in range(2))
    start(conn, worker, first)
    with acknowledging(database_url, worker) as acknowledger:
        acknowledger.local_queue.claim_stats.spare = spare
        acknowledger.put({first: COMPLETED}, lane="\x1f\x1faccount:1\x1f")
        wait_for(conn, f"(SELECT status = 'completed' FROM pgjobs.jobs WHERE id = {first})")
        if spare:
            wait_until(lambda: len(acknowledger.local_queue.inbox))
        found = [(job.id, job.claim_number) for job in acknowledger.local_queue.inbox.jobs]
    assert found == ([(second, 1)] if spare else [])
    assert row_of(conn, second)["status"] == ("running" if spare else "waiting")


def test_nothing_is_claimed_for_a_queue_that_closes_while_a_batch_waits_to_be_written(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    first, second = (enqueue(conn, STEP, n).id for n in range(2))
    start(conn, worker, first)
    with acknowledging(database_url, worker) as acknowledger:
        queue = acknowledger.local_queue
        queue.claim_stats.spare = True
        with queue.handing_over:
            acknowledger.put({first: COMPLETED}, lane="\x1f\x1faccount:1\x1f")
            time.sleep(0.3)  # it is sorted, and waits
            queue.closing = True
        wait_for(conn, f"(SELECT status = 'completed' FROM pgjobs.jobs WHERE id = {first})")
    assert row_of(conn, second)["status"] == "waiting"


def ended(lane: str, queue: LocalQueue, handed_since: float = 0.0) -> tuple[ClaimedJob, Any, float]:
    return claimed_job(lane=lane, local_queue=queue, handed_since=handed_since), COMPLETED, 0.0


def test_a_lane_keeps_a_slot_of_a_limit_for_a_moment_only() -> None:
    queue, now = LocalQueue("default", 9, 0), time.monotonic()
    queue.claim_stats.spare = True
    batch = [ended("\x1fapi\x1f\x1f", queue, now - 0.01), ended("\x1fapi\x1f\x1f", queue, now - 1.0)]
    assert {name: len(some) for name, some in HandOver().partition(batch).items()} == {LIMIT: 1, None: 1}
    queue.closing = True
    assert list(HandOver().partition(batch)) == [None]
    queue.close()


def test_what_was_claimed_when_an_answer_was_lost_is_looked_for() -> None:
    queue, hand_over = LocalQueue("default", 9, 0), HandOver()
    hand_over.rows.append((1,))

    def fail() -> None:
        with hand_over.recording([ended("\x1f\x1fs\x1f", queue)]):
            raise psycopg.OperationalError

    with pytest.raises(psycopg.OperationalError):
        fail()
    assert not hand_over.rows
    hand_over.look_for_lost()
    assert queue.signals.receive() == [LostClaims()]
    queue.close()


def test_an_answer_that_is_lost_leaves_no_job_behind(
    conn: psycopg.Connection, database_url: str, tmp_path: Any
) -> None:
    jobs = enqueue_many(conn, tasks.post, [(1, n * 5 + 1) for n in range(150)])
    with work(database_url, "-q", "default:2", env={tasks.NOTES: str(tmp_path)}) as running:
        for _ in range(6):
            time.sleep(0.15)
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%ack%'")
        wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs_waiting)", 60, log=lambda: running.output[-3000:])
        wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs_live)", 20, log=lambda: running.output[-3000:])
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed'") == len(jobs)
    query = """
        SELECT count(*) FROM (SELECT started_at, lag(finished_at) OVER (ORDER BY id) AS before FROM pgjobs.jobs) AS j
        WHERE started_at = before
    """
    assert scalar(conn, query) > 100, "most were handed over"
    begun = [int(line.split()[2]) for line in (tmp_path / "notes").read_text().splitlines() if " begin " in line]
    assert begun == sorted(begun)


@contextmanager
def producing(database_url: str, worker: int, *known: int) -> Iterator[None]:
    """Run the producer of a worker that knows these jobs, and is to look for those that it does not know."""
    queue, stop = LocalQueue("default", 9, 0), threading.Event()
    queue.record_claimed([claimed_job(job, 1, local_queue=queue) for job in known])
    server = ReconnectingConnection("test", lambda: connect_hot(database_url, application_name="test"), stop)
    producer = Producer(queue, SimpleQueue(), server, worker, stop, threading.Event())
    queue.signals.send(LostClaims())
    producer.start()
    yield
    stop.set()
    queue.signals.wake()
    producer.join()
    queue.close()


def test_a_producer_hands_back_what_its_worker_does_not_know(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    unknown, known = (enqueue(conn, STEP, n).id for n in range(2))
    start(conn, worker, unknown, known)
    with producing(database_url, worker, known):
        wait_for(conn, f"(SELECT status = 'waiting' FROM pgjobs.jobs WHERE id = {unknown})")
    assert row_of(conn, known)["status"] == "running"


def test_a_step_that_is_handed_back_and_was_to_be_cancelled_ends_its_workflow(
    conn: psycopg.Connection, database_url: str, worker: int
) -> None:
    flow = Workflow("one")
    step = flow.add(add, 1)
    handle = enqueue(conn, flow)
    conn.execute(
        "UPDATE pgjobs.jobs SET status = 'running', worker_id = %s, claims = 1, attempt = 1, cancel_reason = 'enough'"
        " WHERE id = %s",
        [worker, handle.job(step).id],
    )
    with producing(database_url, worker):
        wait_for(conn, "(SELECT status = 'failed' FROM pgjobs.workflows)", 10)
