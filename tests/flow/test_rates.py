"""Rates and the token bucket: what is read, what is refused, and that no bucket gives more than it should."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.core.errors import UsageError
from pgjobs.flow.rates import MAX_TOKENS, Rate, capacity, check_burst, next_token_at, parse_rate, refill, suffices

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RATES = st.builds(Rate, st.floats(0.01, 1e6), st.floats(0.01, 1e5))
BURSTS = st.one_of(st.none(), st.floats(1, 1e6))
SECONDS = st.floats(0, 1e5)


@pytest.mark.parametrize(
    ("text", "count", "period"),
    [
        ("100/min", 100, 60),
        ("10/s", 10, 1),
        ("10/sec", 10, 1),
        ("10/second", 10, 1),
        ("5/minutes", 5, 60),
        ("5/m", 5, 60),
        ("1000/h", 1000, 3600),
        ("1/hour", 1, 3600),
        ("2/day", 2, 86_400),
        ("2/d", 2, 86_400),
        ("10/30s", 10, 30),
        ("10/1.5h", 10, 5400),
        ("0.5/s", 0.5, 1),
        (" 10 / 2 Days ", 10, 172_800),
    ],
)
def test_a_rate_is_read(text: str, count: float, period: float) -> None:
    assert parse_rate(text) == Rate(count, period)


@pytest.mark.parametrize(
    "text",
    [
        *("", "100", "/min", "100/", "100/fortnight", "100/ss", "-1/s", "0/s", "1/0s", "nan/s", "1e3/s", "1/1/s"),
        *("1_000/s", "\u0661/s", "10/0.0001s", "10/999d", "9999999999/s", "1" * 5000 + "/s", "100/min\n5", "1 per min"),
    ],
)
def test_what_is_not_a_rate_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rate(text)
    assert str(caught.value).startswith("rate=")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [None, 5, 1.5, b"1/s", ("1", "s")], ids=str)
def test_a_rate_is_a_string(value: object) -> None:
    with pytest.raises(UsageError):
        parse_rate(value)


@given(RATES)
def test_a_rate_is_written_as_it_is_read(rate: Rate) -> None:
    rounded = Rate(round(rate.count, 6), round(rate.period, 6))
    assert parse_rate(str(rounded)) == rounded


@pytest.mark.parametrize("burst", [0, 0.5, -1, float("nan"), MAX_TOKENS + 1, "5", True], ids=str)
def test_what_is_not_a_burst_is_refused(burst: object) -> None:
    with pytest.raises(UsageError):
        check_burst(burst, Rate(1, 1))


def test_a_burst_without_a_rate_means_nothing() -> None:
    with pytest.raises(UsageError):
        check_burst(5, None)
    assert check_burst(None, None) is None
    assert check_burst(5, Rate(1, 1)) == 5


@given(RATES, BURSTS)
def test_a_bucket_of_which_nothing_is_stored_is_full(rate: Rate, burst: float | None) -> None:
    assert refill(None, NOON, NOON, rate, burst) == capacity(rate, burst)


def test_a_bucket_holds_the_burst_or_the_tokens_of_a_period_and_one_at_least() -> None:
    assert capacity(Rate(100, 60), None) == 100
    assert capacity(Rate(100, 60), 20) == 20
    assert capacity(Rate(0.5, 1), None) == 1


@given(RATES, BURSTS, st.floats(-1e6, 1e6), SECONDS)
def test_a_bucket_never_holds_more_than_its_burst(
    rate: Rate, burst: float | None, tokens: float, passed: float
) -> None:
    assert refill(tokens, NOON, NOON + timedelta(seconds=passed), rate, burst) <= capacity(rate, burst)


@given(RATES, BURSTS, st.floats(0, 1), st.floats(0, 1))
def test_a_clock_that_was_set_back_takes_nothing_away(
    rate: Rate, burst: float | None, tokens: float, seconds: float
) -> None:
    assert refill(tokens, NOON, NOON - timedelta(seconds=seconds), rate, burst) == tokens


@given(RATES, BURSTS, st.floats(1.1, 1e6))
def test_a_clock_that_was_set_back_by_more_than_a_second_fills_the_bucket(
    rate: Rate, burst: float | None, seconds: float
) -> None:
    assert refill(-5, NOON, NOON - timedelta(seconds=seconds), rate, burst) == capacity(rate, burst)


@given(RATES, BURSTS, st.lists(st.floats(0, 100), max_size=60))
def test_no_more_jobs_start_than_burst_and_rate_allow(rate: Rate, burst: float | None, pauses: list[float]) -> None:
    tokens, at, started, now = None, NOON, 0, NOON
    for pause in pauses:
        now += timedelta(seconds=pause)
        have = refill(tokens, at, now, rate, burst)
        while suffices(have, 1, rate, burst) and started < 10_000:
            have, started = have - 1, started + 1
        tokens, at = have, now
    allowed = capacity(rate, burst) + (now - NOON).total_seconds() * rate.count / rate.period
    assert started <= allowed * 1.000001 + 1e-6


@given(RATES, BURSTS, st.floats(-100, 100), st.floats(0.1, 1e6), SECONDS)
def test_when_the_next_token_is_there_the_job_may_start_and_not_before(
    rate: Rate, burst: float | None, tokens: float, cost: float, passed: float
) -> None:
    now = NOON + timedelta(seconds=passed)
    then = next_token_at(tokens, NOON, now, rate, burst, cost)
    assert then >= now
    if then == datetime.max.replace(tzinfo=UTC):
        return
    have = refill(tokens, NOON, then, rate, burst)
    wanted = min(cost, 1.0, capacity(rate, burst))
    slack = 2e-6 * rate.count / rate.period + wanted * 1e-9  # a datetime has microseconds
    assert have >= wanted - slack
    if then > now:
        assert not suffices(refill(tokens, NOON, now, rate, burst), cost, rate, burst)


def test_an_expensive_job_starts_with_one_token_and_leaves_a_debt() -> None:
    rate = Rate(1, 1)
    assert next_token_at(0, NOON, NOON, rate, 5, cost=50) == NOON + timedelta(seconds=1)
    assert next_token_at(-49, NOON, NOON, rate, 5) == NOON + timedelta(seconds=50)
    assert suffices(1, 50, rate, 5)
    assert not suffices(0.9, 50, rate, 5)


def test_what_comes_after_the_end_of_the_calendar_comes_at_its_end() -> None:
    assert next_token_at(0, NOON, NOON, Rate(1e-9, 1e9), None) == datetime.max.replace(tzinfo=UTC)
