"""Time that passes, errors and crashes, as a test asks for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from pgjobs import admin, enqueue
from pgjobs.core.errors import UsageError
from pgjobs.testing import Jobs
from tests.testing import app

Own = psycopg.Connection[Any]
BERLIN = ZoneInfo("Europe/Berlin")


def test_a_job_for_later_is_due_once_the_clock_has_moved(own: Own, jobs: Jobs) -> None:
    handle = enqueue(own, app.double.options(delay=timedelta(hours=2)), 1)
    jobs.clock.forward("1h")
    assert not jobs.drain()
    jobs.clock.forward(3600)
    assert jobs.drain()[handle].outcome == "completed"


def test_a_delay_begins_at_its_enqueue_also_after_the_clock_has_moved(own: Own, jobs: Jobs) -> None:
    jobs.clock.forward("2h")
    enqueue(own, app.double.options(delay=60), 1)
    assert not jobs.drain()


def test_a_job_that_has_expired_meanwhile_is_cancelled(own: Own, jobs: Jobs) -> None:
    handle = enqueue(own, app.double.options(expires=3600), 1)
    jobs.clock.forward("1h")
    jobs.drain()
    assert [(job.id, job.status) for job in jobs.all()] == [(handle.id, "cancelled")]
    assert app.calls == []


def test_a_rate_refills_with_the_clock(own: Own, jobs: Jobs) -> None:
    for number in range(2):
        enqueue(own, app.limited, number)
    assert len(jobs.drain()) == 1
    jobs.clock.forward("1min")
    assert len(jobs.drain()) == 1
    assert app.calls == [0, 1]


def test_drain_waits_for_what_is_later_if_asked(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.double.options(delay=3600), 1)
    enqueue(own, app.retries_later)
    assert len(jobs.drain(later=True)) == 2
    assert jobs.clock.ahead == pytest.approx(3600, abs=60)


def test_a_schedule_keeps_its_hour_over_the_change_of_summer_time(own: Own, jobs: Jobs) -> None:
    admin.add_schedule(own, "nightly", "30 4 * * *", app.double, (1,), tz="Europe/Berlin")
    now = datetime.now(UTC)
    noons = [(now + timedelta(days=n)).astimezone(BERLIN).replace(hour=12) for n in range(2, 400)]
    before = next(noon for noon, after in pairwise(noons) if noon.utcoffset() != after.utcoffset())
    jobs.clock.forward(before - timedelta(days=1) - now)
    jobs.drain()
    fired: list[datetime] = []
    for _ in range(4):
        jobs.clock.forward("1d")
        (job,) = jobs.drain().check()
        run_at = next(each.run_at for each in jobs.all() if each.id == job)
        fired.append((run_at + timedelta(seconds=jobs.clock.ahead)).astimezone(BERLIN))
    assert [f"{each:%H:%M}" for each in fired] == ["04:30"] * 4
    assert len({each.utcoffset() for each in fired}) == 2


def test_the_next_attempts_raise_what_was_asked_for(own: Own, jobs: Jobs) -> None:
    handle = enqueue(own, app.send_receipt, 1)
    jobs.fail_next(app.send_receipt, TimeoutError("smtp"), times=2)
    done = jobs.drain()
    assert [(ran.outcome, ran.error) for ran in done.attempts] == [
        ("retried", "TimeoutError: smtp"),
        ("retried", "TimeoutError: smtp"),
        ("completed", None),
    ]
    assert done[handle].attempt == 3
    assert app.calls == [(1, False, 3)]


def test_a_crash_after_the_effects_runs_a_job_twice(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.send_receipt, 1)
    jobs.crash_at("after_effects")
    done = jobs.drain()
    assert [ran.outcome for ran in done.attempts] == ["retried", "completed"]
    assert "crash_at('after_effects')" in str(done.attempts[0].error)
    assert app.calls == [(1, False, 1), (1, False, 2)]


def test_a_crash_before_the_effects_has_none(own: Own, jobs: Jobs) -> None:
    enqueue(own, app.send_receipt, 1)
    jobs.crash_at("before_effects", app.send_receipt)
    jobs.drain()
    assert app.calls == [(1, False, 2)]


@pytest.mark.parametrize("task", [app.book, app.book_itself])
def test_a_crash_after_a_job_has_completed_itself_runs_nothing_twice(own: Own, jobs: Jobs, task: Any) -> None:
    enqueue(own, task, "b")
    jobs.crash_at("after_effects")
    assert [ran.outcome for ran in jobs.drain().attempts] == ["completed"]
    assert own.execute("SELECT text FROM notes").fetchall() == [("b",)]


def test_a_point_that_there_is_not_is_refused(jobs: Jobs) -> None:
    with pytest.raises(UsageError, match="give 'before_effects' or 'after_effects'"):
        jobs.crash_at("half way")
