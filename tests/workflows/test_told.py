"""Workflows that end in a transaction of others, or where a worker could not look, are told so at once."""

from __future__ import annotations

from datetime import UTC, datetime
from queue import SimpleQueue

import psycopg

from pgjobs import Workflow, admin, enqueue
from pgjobs.db.dependencies import settle_dependencies
from pgjobs.db.workflow_ends import end_workflows_later
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_claims import LaneClaims
from pgjobs.worker.local.local_queue import LocalQueue
from tests.support import tasks_workflows as tasks
from tests.support.rows import count, put_worker
from tests.support.worker import scalar
from tests.workflows.test_counts import end, running_pair, status


def settle(conn: psycopg.Connection) -> None:
    """Do what each worker does once a second, if something is unsettled."""
    for _ in range(2):
        if not scalar(conn, "SELECT EXISTS (SELECT FROM pgjobs.dependencies WHERE NOT settled)"):
            return
        steps: set[int] = set()
        with conn.transaction(), conn.cursor() as cursor:
            settle_dependencies(cursor, 0, steps)
        end_workflows_later(conn, steps)


def test_a_workflow_that_ends_in_the_transaction_of_a_caller_is_told_after_its_commit(
    conn: psycopg.Connection, database_url: str
) -> None:
    handle, worker, (first, second) = running_pair(conn)
    conn.execute("UPDATE pgjobs.jobs SET status = 'queued' WHERE id = %s", [first])
    with psycopg.connect(database_url) as caller:
        admin.cancel_jobs(caller, [first])
        end(conn, worker, second)  # which does not see that the other one has ended
        settle(conn)
        assert status(conn, handle) == "running"
        caller.commit()
    settle(conn)
    assert status(conn, handle) == "failed"
    assert count(conn, "dependencies") == 0


def test_jobs_of_no_workflow_are_cancelled_by_as_many_statements(conn: psycopg.Connection) -> None:
    enqueue(conn, tasks.step, "plain")
    with conn.transaction():
        admin.cancel_jobs(conn, [1])
    assert count(conn, "dependencies") == 0


def test_a_workflow_that_was_locked_when_it_ended_is_looked_at_again(
    conn: psycopg.Connection, database_url: str
) -> None:
    handle, worker, steps = running_pair(conn)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM pgjobs.workflows FOR UPDATE")
        for step in steps:
            end(conn, worker, step)
        end_workflows_later(conn, {*steps})
        assert status(conn, handle) == "running"
    settle(conn)
    assert status(conn, handle) == "completed"


def test_a_workflow_whose_last_step_expires_is_told_at_once(conn: psycopg.Connection) -> None:
    flow = Workflow("late")
    flow.add(tasks.step.options(after=[flow.add(tasks.step.options(expires=600), "first")]), "last")
    handle = enqueue(conn, flow)
    conn.execute("UPDATE pgjobs.jobs SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL")
    expire(conn)
    settle(conn)
    row = admin.show_workflow(conn, handle)
    assert (row.status, row.cancelled, row.active) == ("stuck", 1, 0)


def test_a_step_that_expires_while_it_waits_was_not_counted_as_one_that_may_run(conn: psycopg.Connection) -> None:
    flow = Workflow("late")
    flow.add(tasks.step.options(after=[flow.add(tasks.step, "first")], expires=600), "last")
    handle = enqueue(conn, flow)
    conn.execute("UPDATE pgjobs.jobs SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL")
    expire(conn)
    row = admin.show_workflow(conn, handle)
    assert (row.status, row.cancelled, row.active) == ("running", 1, 1)


def expire(conn: psycopg.Connection) -> None:
    """Do what a claim does with what has expired."""
    queue = LocalQueue("default", 1, 0)
    with conn.transaction(), conn.cursor() as cursor:
        lanes = LaneClaims("default", Intake(queue, SimpleQueue()), put_worker(conn, {"default": 1}))
        lanes.claim_rows(cursor, 1, 1, datetime.now(UTC))
    queue.close()
