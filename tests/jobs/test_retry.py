"""What follows an error: pure decisions."""

from __future__ import annotations

import math
import pickle
import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import Cancel, ExponentialBackoff, Retry, Snooze, UsageError
from pgjobs.core.errors import NotAllowedError, PayloadError, SignatureError
from pgjobs.core.interrupts import JobCancelled, JobTimeout
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import MAX_DELAY
from pgjobs.jobs.outcome import CANCELLED_ON_REQUEST, Cancelled, ErrorKind, Failed, Outcome, Retried, Snoozed
from pgjobs.jobs.retry import DEFAULT_BACKOFF, DEFAULT_POLICY, RetryPolicy, after_exception, after_loss, kind_of

FIXED = RetryPolicy(backoff=lambda attempt: attempt * 10.0)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


# -- Backoff ---------------------------------------------------------------------------------------------------------


@given(st.integers(min_value=1, max_value=10**9))
def test_the_default_backoff_lies_between_nothing_and_two_seconds_doubling_up_to_an_hour(attempt: int) -> None:
    ceiling = min(3600.0, 2.0 * 2.0 ** min(attempt - 1, 100))
    assert DEFAULT_BACKOFF.ceiling(attempt) == ceiling
    assert 0 <= DEFAULT_BACKOFF(attempt) <= ceiling


def test_full_jitter_uses_the_whole_range() -> None:
    random.seed(1)
    drawn = [DEFAULT_BACKOFF(5) for _ in range(2000)]
    assert min(drawn) < 1
    assert max(drawn) > 31
    assert 15 < sum(drawn) / len(drawn) < 17


def test_without_jitter_it_is_the_ceiling() -> None:
    assert ExponentialBackoff(base=1e300, factor=1e300, maximum=5, jitter=False)(4) == 5
    backoff = ExponentialBackoff(base=1, factor=3, maximum=20, jitter=False)
    assert [backoff(attempt) for attempt in (1, 2, 3, 4, 5)] == [1, 3, 9, 20, 20]


@pytest.mark.parametrize("wrong", [{"base": -1}, {"factor": 0.5}, {"maximum": -1}, {"base": math.nan}])
def test_a_backoff_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"^ExponentialBackoff\((base|factor|maximum)="):
        ExponentialBackoff(**wrong)  # type: ignore[arg-type]  # floats all


def broken(attempt: int) -> float:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "backoff", [broken, lambda _: math.nan, lambda _: math.inf, lambda _: -1.0, lambda _: "soon", lambda _: None]
)
def test_a_backoff_that_fails_counts_as_the_default(backoff: Any) -> None:
    assert 0 <= RetryPolicy(backoff=backoff).delay(3) <= DEFAULT_BACKOFF.ceiling(3)


@given(st.floats(), st.integers(min_value=1, max_value=1000))
def test_a_delay_can_always_be_stored(given_delay: float, attempt: int) -> None:
    assert 0 <= RetryPolicy(backoff=lambda _: given_delay).delay(attempt) <= MAX_DELAY


# -- After an exception ----------------------------------------------------------------------------------------------


def test_an_error_with_attempts_left_is_retried_after_the_backoff() -> None:
    outcome = after_exception(raised(ValueError("no")), 2, 5, FIXED)
    assert isinstance(outcome, Retried)
    assert (outcome.error, outcome.delay, outcome.isolate) == ("ValueError: no", 20.0, False)
    assert outcome.traceback is not None
    assert outcome.traceback.rstrip().endswith("ValueError: no")


@pytest.mark.parametrize("error", [ValueError(), SystemExit(3), KeyboardInterrupt(), JobTimeout(), MemoryError()])
@given(attempt=st.integers(min_value=1, max_value=100), max_attempts=st.integers(min_value=1, max_value=100))
def test_attempts_are_never_more_than_allowed(error: BaseException, attempt: int, max_attempts: int) -> None:
    outcome = after_exception(error, attempt, max_attempts, FIXED)
    assert isinstance(outcome, Retried if attempt < max_attempts else Failed)
    assert isinstance(after_loss("gone", attempt, max_attempts), Retried if attempt < max_attempts else Failed)


@pytest.mark.parametrize(
    ("policy", "error", "again"),
    [
        (RetryPolicy(retry_on=(OSError,)), FileNotFoundError(), True),
        (RetryPolicy(retry_on=(OSError,)), ValueError(), False),
        (RetryPolicy(give_up_on=(OSError,)), FileNotFoundError(), False),
        (RetryPolicy(give_up_on=(OSError,)), ValueError(), True),
        (RetryPolicy(retry_on=(OSError,), give_up_on=(FileNotFoundError,)), FileNotFoundError(), False),
        (RetryPolicy(retry_on=(OSError,), give_up_on=(FileNotFoundError,)), PermissionError(), True),
        (RetryPolicy(), SystemExit(), True),
    ],
)
def test_some_errors_are_not_worth_another_attempt(policy: RetryPolicy, error: BaseException, again: bool) -> None:
    assert isinstance(after_exception(error, 1, 5, policy), Retried if again else Failed)


@given(st.integers(min_value=1, max_value=100))
def test_what_a_job_asks_for_is_granted(attempt: int) -> None:
    assert after_exception(Snooze(60), attempt, 5, FIXED) == Snoozed(60.0)
    assert after_exception(Cancel("no\nlonger needed"), attempt, 5, FIXED) == Cancelled("no longer needed")


def test_retry_uses_an_attempt_and_its_own_delay_or_the_backoff() -> None:
    kind = ErrorKind.RETRY
    assert after_exception(Retry(7), 1, 5, FIXED) == Retried("Retry: the job asked to be retried", 7.0, kind=kind)
    assert after_exception(Retry(0, "busy"), 1, 5, FIXED) == Retried("Retry: busy", 0.0, kind=kind)
    assert after_exception(Retry(reason="busy"), 3, 5, FIXED) == Retried("Retry: busy", 30.0, kind=kind)
    assert after_exception(Retry(7, "busy"), 5, 5, FIXED) == Failed("Retry: busy", kind=kind)
    assert isinstance(after_exception(Retry(7), 1, 5, RetryPolicy(retry_on=(OSError,))), Retried)


@pytest.mark.parametrize("answer", ["5", 5, math.nan, math.inf, -1.0, None, True], ids=str)
def test_a_policy_of_another_class_can_answer_nothing_but_seconds(answer: Any) -> None:
    class Odd(RetryPolicy):
        def delay(self, attempt: int) -> float:
            seconds: float = answer
            return seconds

    for error in (raised(ValueError("x")), raised(Retry())):
        outcome = after_exception(error, 1, 5, Odd())
        assert isinstance(outcome, Retried)
        assert type(outcome.delay) is float
        assert 0 <= outcome.delay <= DEFAULT_BACKOFF.maximum


def test_a_lost_attempt_can_be_isolated() -> None:
    assert after_loss("killed by\nSIGSEGV", 1, 2, isolate=True, delay=10) == Retried(
        "killed by SIGSEGV", 10.0, isolate=True, kind=ErrorKind.CRASHED
    )
    assert after_loss("killed by SIGSEGV", 2, 2, isolate=True) == Failed("killed by SIGSEGV", kind=ErrorKind.CRASHED)
    outcome = after_loss("killed by SIGSEGV", 3, 5)
    assert isinstance(outcome, Retried)
    assert 0 <= outcome.delay <= DEFAULT_BACKOFF.ceiling(3)


@pytest.mark.parametrize("asked", [Snooze(2.5), Retry(3, "busy"), Retry(), Cancel("no")])
def test_what_a_job_raises_survives_the_way_back_from_a_process(asked: Any) -> None:
    back = pickle.loads(pickle.dumps(asked))
    assert type(back) is type(asked)
    assert (str(back), vars(back)) == (str(asked), vars(asked))


@pytest.mark.parametrize(
    "seconds",
    [-1, math.nan, math.inf, "5", True, None, timedelta(seconds=-5), 11 * 366 * 86400, 10**400, -(10**400), 10**5000],
    ids=shorten_repr,
)
def test_seconds_that_cannot_be_used_are_refused(seconds: Any) -> None:
    with pytest.raises(UsageError, match="give seconds from 0 to ten years, or a timedelta"):
        Snooze(seconds)
    if seconds is not None:
        with pytest.raises(UsageError, match="give seconds from 0 to ten years, or a timedelta"):
            Retry(seconds)


def test_seconds_are_kept_as_a_float_of_no_other_class() -> None:
    class Meters(float):
        __slots__ = ()

    assert [type(Snooze(seconds).seconds) for seconds in (3, Meters(3))] == [float, float]
    assert [type(Retry(seconds).in_seconds) for seconds in (3, Meters(3))] == [float, float]


def test_seconds_of_a_timedelta_are_kept_as_a_float() -> None:
    assert (Snooze(timedelta(minutes=1)).seconds, Retry(timedelta(hours=1)).in_seconds) == (60.0, 3600.0)


@pytest.mark.parametrize(
    "seconds", [timedelta(days=4000), "abc", True, None, 10**400, 10**5000, math.nan], ids=shorten_repr
)
@pytest.mark.parametrize("max_attempts", [1, 2])
def test_a_wish_whose_seconds_were_changed_into_nonsense_is_an_error_as_others_are(
    seconds: Any, max_attempts: int
) -> None:
    snooze, retry = Snooze(1), Retry(1)
    snooze.seconds = seconds
    retry.in_seconds = [] if seconds is None else seconds  # type: ignore[assignment]  # nonsense is the subject
    for error in (snooze, retry):
        outcome = after_exception(raised(error), 1, max_attempts, FIXED)
        assert isinstance(outcome, Retried if max_attempts == 2 else Failed)
        assert "give seconds from 0 to ten years, or a timedelta" in outcome.error
        assert len(outcome.error) < 200
        assert "in raised" in (outcome.traceback or ""), "it shows where the job raised it"


@pytest.mark.parametrize("kind", [Snooze, Retry, Cancel])
def test_a_wish_that_was_made_without_its_init_is_an_error_as_others_are(kind: type[Exception]) -> None:
    class Own(kind):  # type: ignore[valid-type, misc]  # a subclass of each
        def __init__(self) -> None: ...

    outcome = after_exception(raised(Own()), 1, 2, FIXED)
    assert isinstance(outcome, Retried)
    assert "AttributeError" in outcome.error


def _not_loaded(cause: BaseException) -> PayloadError:
    error = PayloadError("the payload cannot be loaded")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no"), ErrorKind.EXCEPTION),
        (ModuleNotFoundError("raised by the job itself"), ErrorKind.EXCEPTION),
        (JobTimeout("late"), ErrorKind.TIMEOUT),
        (_not_loaded(ModuleNotFoundError("shop")), ErrorKind.MODULE_MISSING),
        (_not_loaded(ImportError("shop")), ErrorKind.NAME_MISSING),
        (_not_loaded(AttributeError("send")), ErrorKind.NAME_MISSING),
        (_not_loaded(EOFError()), ErrorKind.PAYLOAD),
        (PayloadError("too large"), ErrorKind.PAYLOAD),
        (NotAllowedError("no"), ErrorKind.NOT_ALLOWED),
        (SignatureError("unsigned"), ErrorKind.SIGNATURE),
    ],
    ids=repr,
)
def test_an_error_has_a_kind_whether_it_is_retried_or_not(error: BaseException, kind: ErrorKind) -> None:
    retried, failed = after_exception(error, 1, 2, FIXED), after_exception(error, 2, 2, FIXED)
    assert isinstance(retried, Retried)
    assert isinstance(failed, Failed)
    assert (retried.kind, failed.kind) == (kind, kind)


def _group(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    """Return a group in a group, as nested task groups make it."""
    return BaseExceptionGroup("outer", [BaseExceptionGroup("inner", errors)])


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        ([Cancel("not needed")], Cancelled("not needed")),
        ([Snooze(7), Snooze(70)], Snoozed(70.0)),
        ([Retry(7, "busy"), Snooze(700)], Retried("Retry: busy", 7.0, kind=ErrorKind.RETRY)),
        ([Snooze(7), Cancel("enough"), Retry(9)], Cancelled("enough")),
        ([JobCancelled()], CANCELLED_ON_REQUEST),
    ],
)
def test_a_group_of_nothing_but_wishes_is_a_wish(errors: list[BaseException], outcome: Outcome) -> None:
    assert after_exception(_group(*errors), 1, 5, DEFAULT_POLICY) == outcome


def test_a_wish_beside_an_error_is_a_failure_that_names_both() -> None:
    outcome = after_exception(_group(Cancel("not needed"), ValueError("no")), 5, 5, DEFAULT_POLICY)
    assert isinstance(outcome, Failed)
    assert outcome.error.endswith(": Cancel: not needed; ValueError: no")


def test_a_timeout_in_a_group_is_a_timeout() -> None:
    assert kind_of(_group(ValueError(), JobTimeout("late"))) is ErrorKind.TIMEOUT


@pytest.mark.parametrize(
    ("errors", "worth"),
    [
        ([ConnectionError()], True),
        ([ConnectionError(), ConnectionResetError()], True),
        ([ConnectionError(), ValueError()], False),  # another attempt does not help against the second
        ([ConnectionError(), ConnectionRefusedError()], False),  # which is one to give up on
    ],
)
def test_the_policy_looks_at_what_is_in_a_group(errors: list[BaseException], worth: bool) -> None:
    policy = RetryPolicy(retry_on=(ConnectionError,), give_up_on=(ConnectionRefusedError,))
    assert policy.worth_retrying(_group(*errors)) is worth


def test_a_group_may_itself_be_what_is_retried_or_given_up_on() -> None:
    assert RetryPolicy(retry_on=(BaseExceptionGroup,)).worth_retrying(_group(ValueError()))
    assert not RetryPolicy(give_up_on=(BaseExceptionGroup,)).worth_retrying(_group(ValueError()))
