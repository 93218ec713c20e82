"""Hooks after outcomes: called once for each attempt whose outcome this worker wrote, and never in its way."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs.hooks import JobOutcome, on_outcome
from pgjobs.jobs.outcome import (
    CANCELLED_ON_REQUEST,
    COMPLETED,
    RELEASED,
    Failed,
    Outcome,
    Parked,
    Retried,
    Snoozed,
)
from pgjobs.worker.acknowledge import outcome_hooks as module
from pgjobs.worker.acknowledge.outcome_hooks import OutcomeHooks
from tests.support.acknowledging import acknowledging
from tests.support.claimed import claimed_job
from tests.support.processes import wait_until
from tests.support.rows import put_job, put_worker
from tests.support.worker import states

if TYPE_CHECKING:
    import psycopg

seen: list[JobOutcome] = []


@pytest.fixture(autouse=True)
def empty() -> None:
    seen.clear()


def run_by(conn: psycopg.Connection, worker: int, **columns: Any) -> int:
    return put_job(conn, status="running", attempt=1, claims=1, worker_id=worker, **columns)


@pytest.mark.parametrize("keep", [True, False])
def test_hook_is_told_what_each_attempt_led_to(database_url: str, conn: psycopg.Connection, keep: bool) -> None:
    on_outcome(seen.append)
    worker = put_worker(conn, {"default": 9})
    if not keep:
        conn.execute("INSERT INTO pgjobs.queues (name, keep_completed) VALUES ('default', false)")
    outcomes: list[Outcome] = [
        *(COMPLETED, Retried("no", 60.0, "trace"), Failed("never"), Snoozed(5.0), CANCELLED_ON_REQUEST),
        *(RELEASED, Parked("x"), Snoozed(2.0, began=False)),
    ]
    ids = [run_by(conn, worker) for _ in outcomes]
    other, gone = run_by(conn, put_worker(conn, {"default": 9})), run_by(conn, worker)
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [gone])
    asked = run_by(conn, worker, cancel_reason="enough")
    with acknowledging(database_url, worker) as here:
        here.put(
            dict(zip(ids, outcomes, strict=True)) | {other: COMPLETED, gone: Failed("x"), asked: Retried("y", 1.0)}
        )

    told = {outcome.id: outcome for outcome in seen}
    assert len(told) == len(seen)
    assert [told[each].status for each in ids[:5]] == ["completed", "retried", "failed", "snoozed", "cancelled"]
    assert set(told) == {*ids[:5], asked}
    assert told[asked].status == "cancelled"
    retried = told[ids[1]]
    assert (retried.task, retried.queue, retried.attempt, retried.error, retried.traceback) == (
        *("a:b", "default", 1, "no", "trace"),
    )
    assert retried.next_at is not None
    assert 55 < (retried.next_at - datetime.now(UTC)).total_seconds() <= 60
    assert told[ids[0]].next_at is None


@pytest.mark.parametrize("outcome", [COMPLETED, Failed("after that"), Retried("after that", 60.0)])
def test_hook_is_told_of_a_job_that_completed_itself_by_the_attempt_that_did(
    database_url: str, conn: psycopg.Connection, outcome: Outcome
) -> None:
    on_outcome(seen.append)
    worker, another = (put_worker(conn, {"default": 9}) for _ in range(2))
    done = put_job(conn, status="completed", claims=1, worker_id=worker)
    forgotten = run_by(conn, worker)
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [forgotten])
    taken_back = put_job(conn, status="waiting", claims=1, lane="a\x1fb")
    ended = [
        put_job(conn, status="completed", claims=2, worker_id=worker),
        put_job(conn, status="completed", claims=1, worker_id=another),
        put_job(conn, status="failed", claims=1, worker_id=worker),
    ]
    if outcome is COMPLETED:  # one that has returned is believed, unless the job is there
        ended.clear()
    with acknowledging(database_url, worker) as here:
        here.put(dict.fromkeys((done, forgotten, taken_back, *ended), outcome), completing=True)
    assert {each.id: each.status for each in seen} == dict.fromkeys((done, forgotten), "completed")


def test_hook_is_told_of_a_locked_row_once_it_is_written(database_url: str, conn: psycopg.Connection) -> None:
    import psycopg

    on_outcome(seen.append)
    worker = put_worker(conn, {"default": 9})
    ids = [run_by(conn, worker) for _ in range(4)]
    with acknowledging(database_url, worker) as here, psycopg.connect(database_url) as other:
        other.execute("SELECT FROM pgjobs.jobs WHERE id = ANY (%s) FOR UPDATE", [ids[:2]])
        here.put({ids[0]: COMPLETED, ids[1]: Failed("x"), ids[2]: COMPLETED, ids[3]: Failed("y")})
        wait_until(lambda: len(seen) >= 2)
        assert {each.id for each in seen} == set(ids[2:])
        other.rollback()
        wait_until(lambda: not states(conn).get("running"))

    assert sorted(each.id for each in seen) == ids


def test_hook_that_raises_is_logged_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def faulty(_: JobOutcome) -> None:
        raise SystemExit(3)

    on_outcome(faulty)
    on_outcome(seen.append)
    hooks = OutcomeHooks()
    error = ValueError("no")
    hooks.tell([(claimed_job(n), Failed("no"), 1.0, error) for n in (1, 2)])
    hooks.stop()

    assert [(each.id, each.exception, each.seconds) for each in seen] == [(1, error, 1.0), (2, error, 1.0)]
    assert caplog.text.count("faulty failed; the outcome of the job stays") == 2


def test_hook_that_hangs_holds_up_nothing_for_long(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENDS_WITHIN", 0.1)
    monkeypatch.setattr(module, "MAX_BEHIND", 5)
    freed = threading.Event()

    def hangs(outcome: JobOutcome) -> None:
        freed.wait(20)
        seen.append(outcome)

    on_outcome(hangs)
    hooks = OutcomeHooks()
    for n in range(4):
        hooks.tell([(claimed_job(2 * n), COMPLETED, 1.0, None), (claimed_job(2 * n + 1), COMPLETED, 1.0, None)])
    hooks.stop()

    assert "hooks are behind" in caplog.text
    assert "hangs does not end: 4 outcomes are not passed on to hooks" in caplog.text
    assert seen == []
    freed.set()
    wait_until(lambda: len(seen) == 4)
