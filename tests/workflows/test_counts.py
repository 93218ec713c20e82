"""How workflows are counted and ended: two at once, after deaths, and after what others have changed."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from pgjobs import Workflow, admin, enqueue
from pgjobs.db import workflow_ends
from pgjobs.db.statements import statement
from pgjobs.db.workflow_ends import end_workflows, sweep_workflows
from pgjobs.flow.workflow_state import GrownSteps
from pgjobs.jobs.outcome import COMPLETED_STEP, Completed, Failed, Retried
from pgjobs.worker.runtime.completing import Awaited, complete_steps
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import settle
from tests.support import tasks_workflows as tasks
from tests.support.processes import wait_until
from tests.support.rows import count, put_worker, row_of
from tests.support.worker import scalar


def running_pair(conn: psycopg.Connection, names: str = "ab") -> tuple[Any, int, list[int]]:
    """A workflow of two steps that run, with a callback; its handle, the worker, and the ids of the steps."""
    flow = Workflow("pair")
    steps = [flow.add(tasks.step, name) for name in names]
    flow.on_completed(tasks.step, "completed")
    handle = enqueue(conn, flow)
    worker = put_worker(conn, {"default": 2})
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', claims = 1, worker_id = %s", [worker])
    return handle, worker, [handle.job(step).id for step in steps]


def end(
    conn: psycopg.Connection, worker: int, job: int, outcome: Completed = COMPLETED_STEP, claim: int = 1
) -> list[int]:
    with conn.cursor() as cursor:
        return complete_steps(cursor, worker, {Claim(job, claim): outcome}, Awaited())


def status(conn: psycopg.Connection, handle: Any) -> str:
    return str(scalar(conn, "SELECT status FROM pgjobs.workflows WHERE id = %s", [handle.id]))


def test_the_last_of_two_that_end_at_once_ends_the_workflow(conn: psycopg.Connection, database_url: str) -> None:
    handle, worker, (first, second) = running_pair(conn)
    with psycopg.connect(database_url) as one, psycopg.connect(database_url, autocommit=True) as two:
        one.execute("SELECT 1")  # else the connection commits at the end of each part
        end(one, worker, first)
        end(two, worker, second)  # it waits for no lock of the other one
        end_workflows(two, [second])
        assert status(conn, handle) == "running"
        one.commit()
        end_workflows(one, [first])
        one.commit()
    assert status(conn, handle) == "completed"
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'queued'") == 1
    end_workflows(conn, [first, second])
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'queued'") == 1  # never a second time


def test_a_worker_that_dies_between_commit_and_look_delays_the_end_only(conn: psycopg.Connection) -> None:
    handle, worker, steps = running_pair(conn)
    for step in steps:
        end(conn, worker, step)
    assert admin.show_workflow(conn, handle).active == 0
    assert sweep_workflows(conn, age=60.0, batch=10) == 0
    conn.execute("UPDATE pgjobs.workflows SET checked_at = now() - interval '61 s'")
    assert sweep_workflows(conn, age=60.0, batch=10) == 1
    assert status(conn, handle) == "completed"


def test_ends_that_an_older_version_wrote_without_counting_are_found(conn: psycopg.Connection) -> None:
    handle, worker, (first, second) = running_pair(conn)
    conn.execute(
        "WITH gone AS (DELETE FROM pgjobs.jobs_live WHERE id = %s RETURNING *) INSERT INTO pgjobs.jobs_history "
        "(id, run_at, enqueued_at, task, payload, status, finished_at) "
        "SELECT id, run_at, enqueued_at, task, payload, 'completed', now() FROM gone",
        [first],
    )
    end(conn, worker, second)
    end_workflows(conn, [second])
    assert status(conn, handle) == "running"  # one is still counted as active
    sweep_workflows(conn, age=-1.0, batch=10)
    row = admin.show_workflow(conn, handle)
    assert (row.status, row.completed, row.active) == ("completed", 2, 0)


def test_counts_that_change_while_they_are_checked_are_not_lost(conn: psycopg.Connection, database_url: str) -> None:
    handle, worker, (before, first, second) = running_pair(conn, "abc")
    end(conn, worker, before)  # it is counted already when the workflow is checked
    with psycopg.connect(database_url) as one:
        one.execute("SELECT 1")
        end(one, worker, first)
        sweep_workflows(conn, age=-1.0, batch=10)
        assert admin.list_workflows(conn)[0].active == 2
        one.commit()
    assert admin.list_workflows(conn)[0].active == 1
    end(conn, worker, second)
    end_workflows(conn, [second])
    assert status(conn, handle) == "completed"


def test_a_step_that_a_caller_has_locked_does_not_stop_who_looks(conn: psycopg.Connection, database_url: str) -> None:
    handle, worker, (first, second) = running_pair(conn)
    conn.execute("UPDATE pgjobs.jobs SET status = 'queued', worker_id = NULL WHERE id = %s", [second])
    conn.execute(statement("mark_cancelled"), {"workflow": handle.id, "reason": "enough"})
    end(conn, worker, first)
    with psycopg.connect(database_url) as caller:
        caller.execute("SELECT FROM pgjobs.jobs WHERE id = %s FOR UPDATE", [second])
        conn.execute("SET lock_timeout = '200 ms'")
        assert end_workflows(conn, [first])
        assert status(conn, handle) == "running"
        caller.rollback()
    sweep_workflows(conn, age=-1.0, batch=10)
    assert status(conn, handle) == "cancelled"


def test_a_callback_that_a_trigger_refuses_stops_neither_other_workflows_nor_the_sweep(
    conn: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    refused, worker, (first, second) = running_pair(conn)
    flow = Workflow("plain")
    step = flow.add(tasks.step, "only")
    plain = enqueue(conn, flow)
    only = plain.job(step).id
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', claims = 1, worker_id = %s WHERE id = %s", [worker, only])
    for job in (first, second, only):
        end(conn, worker, job)
    conn.execute(
        "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not today'; END $$; "
        "CREATE TRIGGER refuse BEFORE INSERT ON pgjobs.jobs_live FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()"
    )
    assert end_workflows(conn, [first, second, only])
    assert (status(conn, refused), status(conn, plain)) == ("running", "completed")
    assert f"workflow {refused.id} cannot be ended" in caplog.text
    assert sweep_workflows(conn, age=60.0, batch=10) == 0  # it has gone to the end of the line
    conn.execute("DROP TRIGGER refuse ON pgjobs.jobs_live")
    sweep_workflows(conn, age=-1.0, batch=10)
    assert status(conn, refused) == "completed"


def test_a_claim_that_was_taken_back_adds_nothing_and_ends_nothing(conn: psycopg.Connection) -> None:
    handle, worker, (first, _) = running_pair(conn)
    grown = Completed(is_step=True, grown=GrownSteps(handle.id, 1, 1, [], []))
    assert end(conn, worker, first, grown, claim=0) == [first]
    assert scalar(conn, "SELECT sum(steps) FROM pgjobs.workflow_counts") is None
    assert count(conn, "workflow_steps") == 2


def test_those_who_end_steps_of_one_workflow_count_in_rows_of_their_own(
    conn: psycopg.Connection, database_url: str
) -> None:
    flow = Workflow("wide")
    flow.map(tasks.square, list(range(16)))
    handle = enqueue(conn, flow)
    worker = put_worker(conn, {"default": 16})
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', claims = 1, worker_id = %s", [worker])
    jobs = [row[0] for row in conn.execute("SELECT job_id FROM pgjobs.workflow_steps ORDER BY 1")]
    with psycopg.connect(database_url) as one, psycopg.connect(database_url) as two:
        while one.info.backend_pid % 16 == two.info.backend_pid % 16:
            two = psycopg.connect(database_url)
        for conn_of in (one, two):
            conn_of.execute("SELECT 1")
        end(one, worker, jobs[0])
        end(two, worker, jobs[1])
        one.commit()
        two.commit()
        two.close()
    assert admin.list_workflows(conn)[0].completed == 2
    assert count(conn, "workflow_counts") == 2
    assert status(conn, handle) == "running"


def test_a_pause_holds_what_waits_for_a_retry_and_what_fails_later_at_the_next_look(conn: psycopg.Connection) -> None:
    handle, worker, steps = running_pair(conn)

    def fail(job: int) -> None:
        with conn.cursor() as cursor:
            assert not settle(cursor, worker, "host", [(Claim(job, 1), Retried("no", 60.0))])

    fail(steps[0])
    admin.pause_workflow(conn, handle)
    assert [row_of(conn, step)["held"] for step in steps] == ["workflow", None]
    fail(steps[1])
    assert row_of(conn, steps[1])["status"] == "queued"
    sweep_workflows(conn, age=60.0, batch=10)
    assert [row_of(conn, step)["held"] for step in steps] == ["workflow", "workflow"]
    admin.resume_workflow(conn, handle)
    assert [row_of(conn, step)["status"] for step in steps] == ["queued", "queued"]


def test_a_retry_does_not_fail_because_a_step_that_waits_is_let_go_meanwhile(
    conn: psycopg.Connection, database_url: str
) -> None:
    """Its row moves to another partition while the retry waits for it, and PostgreSQL calls that an error."""
    flow = Workflow("chain")
    steps = [flow.add(tasks.step, "a")]
    steps.append(flow.add(tasks.step.options(after=steps), "b"))
    handle = enqueue(conn, flow)
    first, second = (handle.job(step).id for step in steps)
    worker = put_worker(conn, {"default": 2})
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', claims = 1, worker_id = %s WHERE id = %s", [worker, first])
    with conn.cursor() as cursor:
        assert not settle(cursor, worker, "host", [(Claim(first, 1), Failed("no"))])
    errors: list[BaseException] = []

    def retry() -> None:
        try:
            admin.retry_workflow(conn, handle)
        except BaseException as error:
            errors.append(error)

    with psycopg.connect(database_url) as other, psycopg.connect(database_url, autocommit=True) as look:
        other.execute("UPDATE pgjobs.jobs SET status = 'queued', held = NULL, needs = 0 WHERE id = %s", [second])
        thread = threading.Thread(target=retry)
        thread.start()
        wait_until(lambda: scalar(look, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        other.commit()
        thread.join()
    assert errors == []
    assert [row_of(conn, job)["status"] for job in (first, second)] == ["queued", "queued"]


def test_many_workflows_that_end_at_once_take_as_many_statements_as_one(
    conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = put_worker(conn, {"default": 2})
    used: list[str] = []

    def noted(name: str) -> str:
        used.append(name)
        return statement(name)

    monkeypatch.setattr(workflow_ends, "statement", noted)

    def ended(workflows: int) -> list[str]:
        handles = []
        for _ in range(workflows):
            flow = Workflow("one")
            flow.add(tasks.step, "a")
            flow.on_completed(tasks.step, "completed")
            flow.on_failure(tasks.step, "failed")
            handles.append(enqueue(conn, flow))
        conn.execute("UPDATE pgjobs.jobs SET status = 'running', claims = 1, worker_id = %s", [worker])
        steps = [row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs WHERE dependents")]
        for step in steps:
            end(conn, worker, step)
        used.clear()
        end_workflows(conn, steps)
        assert {status(conn, handle) for handle in handles} == {"completed"}
        assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'queued'") == workflows
        assert count(conn, "workflow_callbacks") == count(conn, "workflow_counts") == 0
        conn.execute("DELETE FROM pgjobs.jobs")
        return used.copy()

    assert ended(1) == ended(9)


def test_of_workflows_that_end_at_once_those_that_others_have_locked_are_left_for_later(
    conn: psycopg.Connection, database_url: str
) -> None:
    first, worker, steps = running_pair(conn)
    second, worker, more = running_pair(conn)
    for step in (*steps, *more):
        conn.execute("UPDATE pgjobs.jobs SET status = 'running', claims = 1, worker_id = %s", [worker])
        end(conn, worker, step)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM pgjobs.workflows WHERE id = %s FOR UPDATE", [first.id])
        assert not end_workflows(conn, [*steps, *more])
        assert (status(conn, first), status(conn, second)) == ("running", "completed")
    assert end_workflows(conn, [*steps, *more])
    assert status(conn, first) == "completed"
