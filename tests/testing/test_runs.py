"""Jobs that run in the transaction of a test, on a psycopg connection."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.core.errors import UsageError
from pgjobs.testing import Jobs
from tests.testing import app

Own = psycopg.Connection[Any]


def notes(conn: Own) -> list[str]:
    return [row[0] for row in conn.execute("SELECT text FROM notes")]


def test_run_calls_the_function_with_what_its_payload_holds(own: Own, jobs: Jobs) -> None:
    handle = enqueue(own, app.send_receipt, 42, copy=True)
    ran = jobs.run(handle)
    assert (ran.outcome, app.calls) == ("completed", [(42, True, 1)])
    assert jobs.all()[0].status == "completed"


def test_run_gives_back_what_the_job_keeps_of_its_result(own: Own, jobs: Jobs) -> None:
    assert jobs.run(enqueue(own, app.double, 21)).check().result == 42


def test_run_runs_one_attempt_and_this_job_alone(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.flaky, 9)
    handle = enqueue(own, app.flaky, 1)
    first = jobs.run(handle)
    assert (first.outcome, first.error, type(first.exception)) == ("retried", "ConnectionError: smtp", ConnectionError)
    assert jobs.run(handle).outcome == "completed"
    assert app.calls == [1, 2]


def test_run_of_what_has_ended_is_refused(own: Own, jobs: Jobs) -> None:
    handle = enqueue(own, app.double, 1)
    jobs.run(handle)
    with pytest.raises(UsageError, match="is completed: there is nothing to run"):
        jobs.run(handle)


def test_drain_retries_until_the_last_attempt_and_leaves_a_dead_letter(own: Own, jobs: Jobs) -> None:
    well, dead = enqueue(own, app.flaky, 2), enqueue(own, app.flaky, 9)
    done = jobs.drain()
    assert [done[job].outcome for job in (well, dead)] == ["completed", "failed"]
    assert len(done.attempts) == 6
    assert own.execute("SELECT id FROM pgjobs.dead_jobs").fetchall() == [(dead.id,)]


def test_drain_without_retries_leaves_them_queued(own: Own, jobs: Jobs) -> None:
    handle = enqueue(own, app.flaky, 2)
    assert jobs.drain(retries=False)[handle].outcome == "retried"
    assert jobs.all()[0].status == "queued"


def test_drain_runs_what_jobs_enqueue(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.recurse, 3)
    assert len(jobs.drain().check()) == 4
    assert app.calls == [3, 2, 1, 0]


def test_drain_of_one_queue_leaves_the_others(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.double, 1)
    enqueue(own, app.send_receipt, 1)
    jobs.drain("mail")
    assert {job.queue: job.status for job in jobs.all()} == {"default": "queued", "mail": "completed"}


def test_drain_that_finds_no_end_says_so(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.recurse, 10_000)
    with pytest.raises(UsageError, match="50 attempts were run, and more is due"):
        jobs.drain(most=50)


def test_a_coroutine_runs_to_its_end(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.in_loop, 5)
    jobs.drain().check()
    assert app.calls == [5]


def test_what_an_attempt_wrote_that_failed_is_undone(own: Own, jobs: Jobs) -> None:
    own.execute("INSERT INTO notes VALUES ('mine')")
    handle = enqueue(own, app.write_and_raise, "x")
    assert jobs.drain()[handle].outcome == "failed"
    assert notes(own) == ["mine"]


def test_a_job_with_a_transaction_gets_the_connection_of_the_test(own: Own, jobs: Jobs) -> None:
    handle = enqueue(own, app.book, "b")
    assert jobs.run(handle).outcome == "completed"
    assert notes(own) == ["b"]


def test_a_job_that_completes_itself_is_completed(own: Own, jobs: Jobs) -> None:
    handle = enqueue(own, app.book_itself, "b")
    assert jobs.run(handle).outcome == "completed"
    assert notes(own) == ["b"]


def test_a_step_is_done_once_over_all_attempts_though_the_first_is_undone(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.charge_once, 7)
    jobs.drain().check()
    assert app.calls == ["charge 7", {"charged": 70}]


def test_snoozed_and_cancelled_jobs_say_so(own: Own, jobs: Jobs) -> None:
    later, gone = enqueue(own, app.snoozes), enqueue(own, app.cancels)
    done = jobs.drain()
    assert (done[later].outcome, done[gone].outcome, done[gone].error) == ("snoozed", "cancelled", "gone")
    assert jobs.drain(later=True)[later].outcome == "completed"


def test_a_batch_runs_together_and_does_not_wait(own: Own, jobs: Jobs) -> None:
    enqueue_many(own, app.index, [(1,), (2,), (3,)])
    assert len(jobs.drain().check()) == 3
    assert app.calls == [[1, 2, 3]]


def test_nothing_of_it_is_committed(own: Own, jobs: Jobs, conn: Own) -> None:
    enqueue(own, app.flaky, 9)
    jobs.drain()
    for table in ("jobs", "dead_jobs", "workers", "job_steps"):
        assert conn.execute(f"SELECT count(*) FROM pgjobs.{table}").fetchone() == (0,)


def test_a_job_that_commits_the_transaction_of_the_test_is_refused(own: Own, jobs: Jobs, conn: Own) -> None:
    handle = enqueue(own, app.commits)
    assert "forbidden" in str(jobs.run(handle).error)
    assert conn.execute("SELECT count(*) FROM pgjobs.jobs").fetchone() == (0,)
