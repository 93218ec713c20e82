"""Options of jobs: what is accepted, and what is refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import UsageError, declare_queue_limit, job
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import check_queue
from pgjobs.jobs.options import JobOptions, make_policy
from pgjobs.jobs.retry import DEFAULT_BACKOFF, Constant
from pgjobs.jobs.settable import check_settable
from pgjobs.schedules.schedule import make

AT = datetime(2040, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("queue", ["a", "q" * 100, "mail.eu-1/fast", "Übersetzung", "two words"]),
        ("priority", [0, 9]),
        ("max_attempts", [1, 1_000_000]),
        ("timeout", [None, 0.001, 30, 86400.5]),
        ("delay", [0, 0.5, 10 * 366 * 86400]),
        ("run_at", [None, AT, AT.astimezone(timezone(timedelta(hours=5)))]),
        ("run_at", [datetime(1970, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)]),
        ("executor", [None, "thread", "async", "process"]),
    ],
)
def test_values_up_to_the_limits_are_accepted(name: str, values: list[Any]) -> None:
    for value in values:
        assert getattr(JobOptions(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("queue", ["", " ", " a", "a ", "q" * 101, "a\nb", "a\x00", "\ud800", None, 3, b"mail"]),
        ("priority", [-1, 10, 5.0, "5", None, True]),
        ("max_attempts", [0, -1, 1_000_001, 2.0, "3", None, True, 10**400, 10**5000]),
        ("timeout", [0, -1, math.nan, math.inf, "30", True, 10**400, -(10**400), 10**5000, timedelta(0)]),
        ("delay", [-1, math.nan, math.inf, "1", None, True, timedelta(seconds=-1), 11 * 366 * 86400]),
        ("delay", [10**400, -(10**400), 10**5000]),
        ("run_at", [datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]),
        ("run_at", [datetime(9999, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))]),
        ("run_at", [datetime(2040, 1, 1), "2040-01-01", 0]),  # noqa: DTZ001 (naive is the subject)
        ("executor", ["gpu", "", 1, True]),
    ],
)
def test_values_beyond_the_limits_are_refused_in_one_line_that_names_the_option(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UsageError, match=f"^{name}=") as caught:
            JobOptions(**{name: value})
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 200


def test_a_timedelta_is_kept_as_seconds() -> None:
    options = JobOptions(timeout=timedelta(minutes=5), delay=timedelta(days=1))  # type: ignore[arg-type]  # as @job gives them
    assert (options.timeout, options.delay) == (300.0, 86400.0)
    assert make_policy(timedelta(seconds=3), (), ()).backoff == Constant(3.0)


def test_a_naive_time_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"no time zone.*timezone\.utc"):
        JobOptions(run_at=datetime(2040, 1, 1))  # noqa: DTZ001 (naive is the subject)


def test_delay_and_run_at_together_are_refused_and_replace_one_another() -> None:
    with pytest.raises(UsageError, match="use one of them"):
        JobOptions(delay=1, run_at=AT)
    with pytest.raises(UsageError, match="use one of them"):
        JobOptions().changed(delay=1, run_at=AT)
    assert JobOptions(delay=1).changed(run_at=AT) == JobOptions(run_at=AT)
    assert JobOptions(run_at=AT).changed(delay=1) == JobOptions(delay=1)
    assert JobOptions(run_at=AT).changed(priority=1).run_at == AT


@given(st.text())
def test_a_queue_that_is_accepted_can_be_stored_in_one_line(queue: str) -> None:
    try:
        check_queue(queue)
    except UsageError:
        return
    assert 0 < len(queue) <= 100
    assert queue.splitlines() == [queue]
    assert b"\x00" not in queue.encode()


def test_backoff_may_be_a_timedelta_or_return_one() -> None:
    assert Constant(timedelta(minutes=2)).seconds == 120.0
    assert make_policy(Constant(timedelta(minutes=2)), (), ()).delay(1) == 120.0
    assert make_policy(lambda attempt: timedelta(minutes=attempt), (), ()).delay(3) == 180.0
    wrong = make_policy(lambda attempt: timedelta(days=-1), (), ()).delay(1)
    assert 0 <= wrong <= DEFAULT_BACKOFF.ceiling(1), "out of range: the default's"


def test_a_number_as_backoff_is_that_many_seconds() -> None:
    backoff = make_policy(2.5, (), ()).backoff
    assert [backoff(attempt) for attempt in (1, 2, 30)] == [2.5, 2.5, 2.5]
    assert make_policy(None, (), ()).backoff is DEFAULT_BACKOFF
    assert make_policy(0, (), ()).backoff == Constant(0.0)


@pytest.mark.parametrize("backoff", ["soon", -1, math.nan, math.inf, True, [1, 2], 10**400, 10**5000], ids=shorten_repr)
def test_a_backoff_that_cannot_be_used_is_refused(backoff: Any) -> None:
    with pytest.raises(UsageError, match="backoff="):
        make_policy(backoff, (), ())


def test_one_exception_type_is_as_good_as_several() -> None:
    policy = make_policy(None, OSError, (ValueError, KeyError))
    assert policy.retry_on == (OSError,)
    assert policy.give_up_on == (ValueError, KeyError)


@pytest.mark.parametrize("types", ["OSError", OSError(), (OSError, int), int, None, [1]])
def test_what_is_not_an_exception_type_is_refused(types: Any) -> None:
    with pytest.raises(UsageError, match=r"retry_on=.*give exception types"):
        make_policy(None, types, ())
    with pytest.raises(UsageError, match=r"give_up_on=.*give exception types"):
        make_policy(None, (), types)


@pytest.mark.parametrize(
    ("queue", "reads", "instead"),
    [
        ("mail:5", "the queue mail with 5 slots", "mail-5"),
        ("eu:mail:20", "the queue eu:mail with 20 slots", "eu-mail-20"),
        ("a,b", "several queues", "a-b"),
        ("-mail", "an option", "mail"),
    ],
)
def test_a_queue_whose_name_a_worker_would_read_otherwise_gets_no_jobs_and_no_limit(
    queue: str, reads: str, instead: str
) -> None:
    said = f"queue='{queue}': `pgjobs work -q` would read {reads}; give it another name, such as '{instead}'."
    for declare in (
        lambda: JobOptions(queue=queue),
        lambda: job(queue=queue),
        lambda: declare_queue_limit(queue, concurrency=1),
        lambda: make("0 9 * * *", print, (), {}, queue=queue),
        lambda: check_settable(queue=queue),
    ):
        with pytest.raises(UsageError) as error:
            declare()
        assert str(error.value) == said
    assert check_queue(queue) == queue, "one that SQL has filled can be paused and removed"


@pytest.mark.parametrize("queue", ["eu:mail", "mail-5", "5", ":5", "a.b", "mail:x5"])
def test_other_punctuation_may_be_in_the_name_of_a_queue(queue: str) -> None:
    assert JobOptions(queue=queue).queue == queue
