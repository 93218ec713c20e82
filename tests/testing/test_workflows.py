"""Workflows, sequences and dependencies in the transaction of a test."""

from __future__ import annotations

from typing import Any

import psycopg

from pgjobs import Workflow, current_job, enqueue, job, signal, sleep, wait_for
from pgjobs.testing import Jobs

Own = psycopg.Connection[Any]
seen: list[Any] = []


@job
def numbers(most: int) -> list[int]:
    return list(range(most))


@job
def square(number: int) -> int:
    return number * number


@job
def add_up(squares: list[int]) -> None:
    seen.append(sum(squares))


@job
def done(text: str) -> None:
    seen.append(text)


@job
def fails() -> None:
    raise ValueError("x")


@job
def waits() -> None:
    seen.append(wait_for("approved", timeout=86400))


@job
def sleeps() -> None:
    sleep(86400)
    seen.append(current_job().attempt)


def test_a_workflow_runs_with_its_results_and_calls_back(own: Own, jobs: Jobs) -> None:
    seen.clear()
    flow = Workflow("squares")
    first = flow.add(numbers, 4)
    flow.add(add_up, flow.map(square, first.result).results)
    flow.on_completed(done, "done")
    enqueue(own, flow)
    jobs.drain().check()
    assert seen == [14, "done"]
    assert own.execute("SELECT status FROM pgjobs.workflows").fetchall() == [("completed",)]


def test_what_waits_for_a_job_that_failed_does_what_it_says(own: Own, jobs: Jobs) -> None:
    seen.clear()
    parent = enqueue(own, fails.options(max_attempts=1))
    enqueue(own, done.options(after=[parent], if_failed="run"), "after")
    gone = enqueue(own, done.options(after=[parent], if_failed="cancel"), "never")
    jobs.drain()
    assert seen == ["after"]
    assert {each.id: each.status for each in jobs.all()}[gone.id] == "cancelled"


def test_a_job_waits_for_a_signal_and_sleeps(own: Own, jobs: Jobs) -> None:
    seen.clear()
    waiting = enqueue(own, waits)
    enqueue(own, sleeps)
    jobs.drain()
    assert seen == []
    signal(own, waiting, "approved", {"by": "ada"})
    jobs.drain()
    assert seen == [{"by": "ada"}]
    jobs.clock.forward("1d")
    jobs.drain().check()
    assert seen == [{"by": "ada"}, 1]
