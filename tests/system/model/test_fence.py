"""The fence: an outcome counts only for the worker and the claim that it is of. And no claim waits for another."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.admin import cancel_jobs
from pgjobs.db.statements import statement
from pgjobs.jobs.outcome import RELEASED, Cancelled, Failed, KeptResult, Outcome, Retried, Snoozed
from pgjobs.worker.claim.cursor import BEGINNING, END_OF_TIME, PRIORITIES
from pgjobs.worker.config import QueueSlots
from pgjobs.worker.runtime.completing import complete
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.registration import register
from pgjobs.worker.runtime.settle import array, settle
from tests.support import tasks
from tests.support.rows import count, row_of


def settled(outcome: Outcome) -> Any:
    """Return what writes this outcome, and tells of what it did not match."""

    def answer(cursor: psycopg.Cursor[Any], worker: int, claim: Claim) -> list[int]:
        return [stale.job_id for stale in settle(cursor, worker, "here", [(claim, outcome)])]

    return answer


def completed(*, keep: bool, result: KeptResult | None = None) -> Any:
    def answer(cursor: psycopg.Cursor[Any], worker: int, claim: Claim) -> list[int]:
        results = None if result is None else {claim.job_id: result}
        return complete(cursor, worker, [claim.job_id], [claim.claim_number], keep=keep, results=results)

    return answer


RESULT = KeptResult(b"1", True, 60.0)
ANSWERS = {
    "completed": completed(keep=True),
    "completed, and forgotten": completed(keep=False),
    "completed with a result": completed(keep=True, result=RESULT),
    "completed with a result, and forgotten": completed(keep=False, result=RESULT),
    "retried": settled(Retried("no", 0.0)),
    "failed": settled(Failed("no")),
    "snoozed": settled(Snoozed(0.0)),
    "cancelled": settled(Cancelled("enough")),
    "released": settled(RELEASED),
}


def claim(conn: psycopg.Connection, worker: int, demand: int = 1) -> list[Claim]:
    values = {
        "priorities": array(PRIORITIES),
        "run_ats": [BEGINNING[0]] * 10,
        "untils": [END_OF_TIME] * 10,
        "counted_queue": None,
        "ids": array([0] * 10),
        "queue": "default",
        "demand": demand,
        "worker_id": worker,
    }
    return [Claim(*row[:2]) for row in conn.execute(statement("claim"), values).fetchall()]


@pytest.mark.parametrize("name", ANSWERS)
def test_the_outcome_of_an_earlier_claim_changes_nothing(conn: psycopg.Connection, name: str) -> None:
    worker = register(conn, [QueueSlots("default")])
    job = enqueue(conn, tasks.nothing).id
    with conn.cursor(binary=True) as cursor:
        (first,) = claim(conn, worker)
        settle(cursor, worker, "here", [(first, RELEASED)])
        (second,) = claim(conn, worker)
        before = row_of(conn, job)
        assert ANSWERS[name](cursor, worker, first) == [job]
        assert row_of(conn, job) == before
        assert count(conn, "results") == 0
        assert ANSWERS[name](cursor, worker, second) == []
        assert count(conn, "results") == ("result" in name)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_outcome_of_another_worker_changes_nothing(conn: psycopg.Connection, name: str) -> None:
    worker, other = register(conn, [QueueSlots("default")]), register(conn, [QueueSlots("default")])
    job = enqueue(conn, tasks.nothing).id
    with conn.cursor(binary=True) as cursor:
        (held,) = claim(conn, worker)
        before = row_of(conn, job)
        assert ANSWERS[name](cursor, other, held) == [job]
        assert row_of(conn, job) == before
        assert count(conn, "results") == 0


@pytest.mark.parametrize("name", [name for name in ANSWERS if not name.startswith("completed")])
def test_a_job_asked_to_be_cancelled_ends_cancelled_whatever_its_outcome(conn: psycopg.Connection, name: str) -> None:
    worker = register(conn, [QueueSlots("default")])
    job = enqueue(conn, tasks.nothing).id
    with conn.cursor(binary=True) as cursor:
        (held,) = claim(conn, worker)
        cancel_jobs(conn, [job], reason="as asked")  # it has not reached the worker yet
        assert ANSWERS[name](cursor, worker, held) == []
    ended = row_of(conn, job)
    assert (ended["status"], ended["error"]) == ("cancelled", "as asked")


def test_a_claim_does_not_wait_for_another_one(database_url: str, conn: psycopg.Connection) -> None:
    jobs = {handle.id for handle in enqueue_many(conn, tasks.nothing, [()] * 4)}
    one, two = register(conn, [QueueSlots("default")]), register(conn, [QueueSlots("default")])
    with psycopg.connect(database_url) as first, psycopg.connect(database_url, autocommit=True) as second:
        taken = {held.job_id for held in claim(first, one, 2)}
        second.execute("SET lock_timeout = '1s'")
        others = {held.job_id for held in claim(second, two, 4)}
        assert (len(taken), others) == (2, jobs - taken)


def test_worker_considered_dead_claims_nothing(conn: psycopg.Connection) -> None:
    worker = register(conn, [QueueSlots("default")])
    enqueue(conn, tasks.nothing)
    conn.execute("DELETE FROM pgjobs.workers")
    assert claim(conn, worker) == []
