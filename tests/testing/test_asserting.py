"""What a test asserts about jobs that were enqueued, and what it reads where that fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from pgjobs import enqueue
from pgjobs.core.errors import UsageError
from pgjobs.testing import Jobs
from tests.testing import app

Own = psycopg.Connection[Any]


def test_an_enqueued_job_is_found_by_its_arguments_however_they_are_given(own: Own, jobs: Jobs) -> None:
    handle = enqueue(own, app.send_receipt.options(delay=3600, meta={"user": 7}), 42)
    assert jobs.assert_enqueued(app.send_receipt, 42).id == handle.id
    jobs.assert_enqueued(app.send_receipt, order_id=42, copy=False)
    jobs.assert_enqueued(app.send_receipt)
    jobs.assert_enqueued(app.send_receipt, 42, queue="mail", within="1h", meta={"user": 7})
    jobs.refute_enqueued(app.send_receipt, 43)
    jobs.refute_enqueued(app.send_receipt, 42, within=timedelta(minutes=59))
    jobs.refute_enqueued(app.double)


def test_what_comes_nearest_is_named_with_its_differences(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.send_receipt, 41)
    enqueue(own, app.send_receipt.options(queue="vip"), 42)
    with pytest.raises(AssertionError) as caught:
        jobs.assert_enqueued(app.send_receipt, 42, queue="mail")
    first, *lines = str(caught.value).splitlines()
    assert first == "no job send_receipt(42) with queue='mail' was enqueued. The nearest:"
    assert sorted(line.partition(": ")[2] for line in lines) == [
        "arguments (41), not (42)",
        "queue 'vip', not 'mail'",
    ]


def test_without_a_job_of_the_function_the_others_are_named(own: Own, jobs: Jobs) -> None:
    with pytest.raises(AssertionError, match="there is no job at all"):
        jobs.assert_enqueued(app.double, 1)
    enqueue(own, app.flaky, 1)
    with pytest.raises(AssertionError, match=r"There are jobs of tests\.testing\.app:flaky\."):
        jobs.assert_enqueued(app.double, 1)


def test_arguments_that_no_job_can_have_are_refused(jobs: Jobs) -> None:
    untyped: Any = jobs
    with pytest.raises(UsageError, match="no job can be enqueued so"):
        untyped.assert_enqueued(app.send_receipt, 42, cc=True)


def test_a_job_that_must_not_be_there_is_named(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.double, 1)
    with pytest.raises(
        AssertionError, match=r"no job double was to be enqueued, and there are 1:\n  job \d+ double\(1\)"
    ):
        jobs.refute_enqueued(app.double)


def test_a_block_is_expected_to_enqueue_a_number(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.double, 0)
    with jobs.expect(app.double, times=2) as found:
        enqueue(own, app.double, 1)
        enqueue(own, app.double, 2)
    assert [job.args for job in found] == [(1,), (2,)]
    with pytest.raises(AssertionError, match="2 jobs double were to be enqueued here, and there are 1"):
        with jobs.expect(app.double, times=2):
            enqueue(own, app.double, 3)


def test_leftovers_are_jobs_that_have_not_ended_and_failures_that_were_not_met(own: Own, jobs: Jobs) -> None:
    assert jobs.leftovers() == []
    enqueue(own, app.double, 1)
    jobs.fail_next(app.flaky, ValueError("x"))
    assert [line.partition(" ")[2].partition(" ")[2] for line in jobs.leftovers()] == [
        "double(1) in default, queued",
        "tests.testing.app:flaky",
    ]


def test_a_connection_in_autocommit_mode_is_refused(conn: Own) -> None:
    with pytest.raises(UsageError, match="open transaction"):
        Jobs(conn).all()
