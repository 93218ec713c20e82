"""What a function says of single jobs of its batch."""

from __future__ import annotations

from typing import Any

import pytest

from pgjobs import JobHandle, Outcomes, Retry, UsageError
from pgjobs.jobs.batch_outcomes import outcomes_of
from pgjobs.jobs.halving import ENOUGH, Search
from pgjobs.jobs.outcome import COMPLETED, Cancelled, Failed, Outcome, Retried, Snoozed
from pgjobs.jobs.retry import Constant, RetryPolicy

POLICY = RetryPolicy(Constant(7.0))


def decided(said: Outcomes, *, attempt: int = 1) -> list[Outcome]:
    return outcomes_of(said, [11, 12, 13], [(attempt, 2)] * 3, POLICY)


def test_what_is_not_named_has_completed() -> None:
    assert decided(Outcomes()) == [COMPLETED] * 3


@pytest.mark.parametrize("key", [1, JobHandle(12)])
def test_a_job_is_named_by_index_or_handle(key: Any) -> None:
    assert [isinstance(each, Cancelled) for each in decided(Outcomes(cancel=[key]))] == [False, True, False]


@pytest.mark.parametrize(
    ("reason", "error", "delay"),
    [
        ("busy", "Retry: busy", 7.0),
        (None, "Retry: the batch asked for it to be retried", 7.0),
        (ValueError("no"), "ValueError: no", 7.0),
        (60, "Retry: the batch asked for it to be retried", 60.0),
        (Retry(5, "later"), "Retry: later", 5.0),
    ],
)
def test_a_retry_has_a_reason_or_a_delay_and_uses_up_an_attempt(reason: Any, error: str, delay: float) -> None:
    first = decided(Outcomes(retry={0: reason}))[0]
    assert isinstance(first, Retried)
    assert (first.error, first.delay) == (error, delay)
    last = decided(Outcomes(retry={0: reason}), attempt=2)[0]
    assert isinstance(last, Failed)
    assert last.error == error


def test_a_failure_is_final() -> None:
    failed = decided(Outcomes(fail={0: "bad", 1: ValueError("no"), 2: None}))
    assert [each.error for each in failed if isinstance(each, Failed)] == [
        *("bad", "ValueError: no", "the batch reported that it failed")
    ]


def test_a_snooze_is_as_long_as_it_says() -> None:
    assert decided(Outcomes(snooze={2: 3}))[2] == Snoozed(3.0)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Outcomes(fail=[3]), "has item 3, and the batch has 3"),
        (Outcomes(fail=[-1]), "has item -1"),
        (Outcomes(fail=[JobHandle(99)]), "is not in this batch"),
        (Outcomes(fail=[0], retry=[0]), "names item 0 twice"),
        (Outcomes(fail={0: 3}), "has the reason 3"),
        (Outcomes(snooze={0: -1}), "snooze"),
    ],
)
def test_what_makes_no_sense_is_refused(said: Outcomes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        decided(said)


def test_a_search_is_in_vain_once_all_have_failed_alone() -> None:
    assert Search(ENOUGH, 0).is_in_vain
    assert not Search(ENOUGH - 1, 0).is_in_vain
    assert not Search(ENOUGH, 1).is_in_vain
