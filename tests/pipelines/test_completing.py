"""The transaction that completes items: what they lead to is inserted once, whatever was lost on the way."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pgjobs import enqueue
from pgjobs.jobs.context import current
from pgjobs.jobs.outcome import Completed
from pgjobs.payload.pickling import load
from pgjobs.worker.runtime.completing import Awaited, complete_stages
from pgjobs.worker.runtime.job_claim import Claim
from tests.support import tasks_pipelines as tasks
from tests.support.rows import put_worker
from tests.support.worker import scalar

NEXT = "SELECT count(*) FROM pgjobs.jobs_waiting WHERE pgjobs.stage_of_lane(lane) = 'nothing/store'"


def running(conn: psycopg.Connection, item: str = "a") -> tuple[int, int, Completed]:
    """An item that runs in its first stage: the worker, its id, and what it has come to."""
    handle = enqueue(conn, tasks.nothing, item)
    worker = put_worker(conn, {"default": 2})
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', claims = 1, worker_id = %s", [worker])
    return worker, handle.id, outcome(conn, handle.id, item)


def outcome(conn: psycopg.Connection, job: int, item: str) -> Completed:
    call: Any = load(scalar(conn, "SELECT payload FROM pgjobs.jobs WHERE id = %s", [job]), "x").callable
    call.inner = lambda value: value
    current.set(None)
    call(item)
    return Completed(items=call.items)


def end(
    conn: psycopg.Connection, worker: int, job: int, done: Completed, claim: int = 1, keep: bool = True
) -> list[int]:
    with conn.cursor() as cursor:
        return complete_stages(cursor, worker, {Claim(job, claim): done}, Awaited(), keep=keep)


@pytest.mark.parametrize("keep", [True, False])
def test_a_second_try_passes_nothing_on_again(conn: psycopg.Connection, keep: bool) -> None:
    """As after an answer that was lost: the first try was committed."""
    worker, job, done = running(conn)
    assert end(conn, worker, job, done, keep=keep) == []
    assert scalar(conn, NEXT) == 1
    assert end(conn, worker, job, done, keep=keep) == ([] if keep else [job])
    assert scalar(conn, NEXT) == 1
    kept = scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed'")
    assert kept == (1 if keep else 0)


def test_a_stale_claim_passes_nothing_on(conn: psycopg.Connection) -> None:
    worker, job, done = running(conn)
    assert end(conn, worker, job, done, claim=2) == [job]
    assert scalar(conn, NEXT) == 0


@pytest.mark.parametrize("keep", [True, False])
def test_what_waits_for_an_item_is_released_by_its_end(conn: psycopg.Connection, keep: bool) -> None:
    worker, job, done = running(conn)
    after = enqueue(conn, tasks.store.options(after=[job]), 1)
    conn.execute("UPDATE pgjobs.jobs SET dependents = true WHERE id = %s", [job])
    assert end(conn, worker, job, done, keep=keep) == []
    assert scalar(conn, NEXT) == 1
    assert scalar(conn, "SELECT status FROM pgjobs.jobs WHERE id = %s", [after.id]) == "queued"


def test_an_item_that_others_keep_out_is_not_completed(conn: psycopg.Connection) -> None:
    worker, job, done = running(conn)
    conn.execute(
        "CREATE FUNCTION pgjobs.keep_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep_out BEFORE INSERT ON pgjobs.jobs_waiting FOR EACH ROW EXECUTE FUNCTION pgjobs.keep_out()"
    )
    with pytest.raises(psycopg.errors.TriggeredActionException):
        end(conn, worker, job, done)
    assert scalar(conn, "SELECT status FROM pgjobs.jobs WHERE id = %s", [job]) == "running"
