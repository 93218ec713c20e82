"""What a circuit breaker does next: pure decisions."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import Breaker, Cancel, Snooze, UsageError, job
from pgjobs.flow.breaker import contradictions, declared_breakers
from pgjobs.flow.breaker_state import (
    BUCKETS,
    BreakerState,
    Bucket,
    Call,
    after_calls,
    after_time,
    by_itself,
    closed_by_hand,
    counted,
    open_by_hand,
    streak_of,
    totals,
    within,
)

STRIPE = Breaker("stripe", failures=0.5, window=30, min_calls=20, cooldown=60, probes=3)
CLOSED = BreakerState()
NOW = 1_800_000_000.0


def calls(succeeded: int, failed: int, began: float = NOW) -> list[Call]:
    """Return calls, failed ones first: no streak continues after a success."""
    return [Call(began, False)] * failed + [Call(began, True)] * succeeded


OPEN = after_calls(CLOSED, STRIPE, calls(10, 10), NOW)
HALF_OPEN = after_time(OPEN, NOW + 60)


def lets_through(state: BreakerState, now: float) -> bool:
    """Whether jobs are claimed, by the rule of claim_waiting.sql: all of them, or some probes."""
    return state.state == "closed" or state.until <= now


# -- Closed ----------------------------------------------------------------------------------------------------------


def test_it_opens_when_too_many_calls_of_the_window_failed() -> None:
    assert (OPEN.state, OPEN.until, OPEN.since) == ("open", NOW + 60, NOW)
    assert OPEN.reason == "10 of 20 calls failed within 30 s"
    assert not lets_through(OPEN, NOW + 59.9)
    assert lets_through(OPEN, NOW + 60)


@pytest.mark.parametrize(("succeeded", "failed"), [(0, 19), (11, 9), (30, 29)])
def test_it_stays_closed_while_calls_or_failures_are_too_few(succeeded: int, failed: int) -> None:
    circuit = after_calls(CLOSED, STRIPE, calls(succeeded, failed), NOW)
    assert circuit.state == "closed"
    assert totals(circuit.window) == (succeeded + failed, failed)


def test_failures_that_are_older_than_the_window_do_not_count() -> None:
    circuit = after_calls(CLOSED, STRIPE, calls(0, 19), NOW)
    assert after_calls(circuit, STRIPE, calls(0, 1, NOW + 29), NOW + 29).state == "open"
    assert after_calls(circuit, STRIPE, calls(0, 1, NOW + 34), NOW + 34).state == "closed"


def test_calls_that_began_before_it_closed_do_not_count() -> None:
    closed = after_calls(HALF_OPEN, STRIPE, calls(3, 0, NOW + 61), NOW + 62)
    assert closed == BreakerState("closed", since=NOW + 62, reason="3 probes succeeded")
    assert after_calls(closed, STRIPE, calls(0, 50, NOW + 61.5), NOW + 70) == closed


batches = st.lists(
    st.tuples(st.floats(0, 20), st.integers(0, 30), st.integers(0, 30)), max_size=60
)  # seconds since the last one, how many succeeded, how many failed


@given(batches, st.floats(1, 60))
def test_the_window_slides_by_its_tenth_parts_and_stays_small(
    steps: list[tuple[float, int, int]], seconds: float
) -> None:
    window: tuple[Bucket, ...] = ()
    now, history = NOW, []
    for pause, succeeded, failed in steps:
        now += pause
        window = counted(window, seconds, succeeded, failed, now)
        history.append((now, succeeded + failed))
        ended, _ = totals(window)
        width = seconds / BUCKETS
        # What ended within the window is in it, and nothing that is more than two of its parts older.
        assert ended >= sum(number for moment, number in history if moment > now - seconds)
        assert ended <= sum(number for moment, number in history if moment > now - seconds - 2 * width)
        assert len(window) <= BUCKETS + 2


@given(batches)
def test_it_opens_exactly_when_its_window_or_a_streak_says_so(steps: list[tuple[float, int, int]]) -> None:
    circuit, window, now, streak = CLOSED, tuple[Bucket, ...](), NOW, 0
    for pause, succeeded, failed in steps:
        now += pause
        if succeeded + failed:
            window = counted(window, STRIPE.window, succeeded, failed, now)
            streak = 0 if succeeded else streak + failed
        circuit = after_calls(circuit, STRIPE, calls(succeeded, failed, now), now)
        ended, bad = totals(window)
        if succeeded + failed and ((ended >= 20 and bad >= ended / 2) or min(streak, bad) >= 20):
            assert circuit.state == "open"
            return
        assert circuit.state == "closed"
        assert circuit.window == window


def test_failures_in_a_row_open_it_whatever_went_well_before() -> None:
    circuit = after_calls(CLOSED, STRIPE, calls(5000, 0), NOW)
    circuit = after_calls(circuit, STRIPE, [*calls(0, 15), *calls(1, 0), *calls(0, 12)], NOW + 1)
    assert (circuit.state, circuit.streak) == ("closed", 12)
    circuit = after_calls(circuit, STRIPE, calls(0, 8, NOW + 2), NOW + 2)
    assert (circuit.state, circuit.reason) == ("open", "20 calls in a row failed")


def test_failures_in_a_row_that_are_older_than_the_window_do_not_count() -> None:
    circuit = after_calls(CLOSED, STRIPE, calls(0, 14), NOW)
    for number in range(1, 60):
        circuit = after_calls(circuit, STRIPE, calls(0, 1, NOW + 20 * number), NOW + 20 * number)
        if number > 1:
            assert (circuit.state, circuit.streak) == ("closed", 2)


@pytest.mark.parametrize(
    ("failures", "min_calls", "streak"), [(0.5, 20, 20), (0.5, 1, 20), (0.5, 50, 50), (0.9, 20, 132), (1.0, 7, 7)]
)
def test_a_streak_is_not_a_chance(failures: float, min_calls: int, streak: int) -> None:
    assert streak_of(Breaker("stripe", failures=failures, min_calls=min_calls)) == streak


@pytest.mark.parametrize("leap", [-3600.0, -40.0, 3600.0])
def test_a_clock_that_is_set_leaves_no_old_counts_behind(leap: float) -> None:
    window = counted((), 30, 0, 15, NOW)
    assert totals(counted(window, 30, 1, 0, NOW + leap)) == (1, 0)


def test_a_clock_that_steps_back_a_little_keeps_the_counts() -> None:
    window = counted((), 30, 0, 15, NOW)
    assert totals(within(counted(window, 30, 1, 0, NOW - 1), 30, NOW - 1)) == (16, 15)


# -- Open ------------------------------------------------------------------------------------------------------------


@given(st.floats(0, 59.9), st.integers(0, 100), st.integers(0, 100), st.floats(-100, 59))
def test_nothing_that_ends_while_it_is_open_changes_it(later: float, good: int, bad: int, began: float) -> None:
    assert after_calls(OPEN, STRIPE, calls(good, bad, NOW + began), NOW + later) == OPEN


def test_it_is_half_open_when_its_time_is_over() -> None:
    assert after_time(OPEN, NOW + 59.9) == OPEN
    assert (HALF_OPEN.state, HALF_OPEN.until) == ("half_open", NOW + 60)
    assert after_time(HALF_OPEN, NOW + 1e9) == HALF_OPEN


# -- Half-open -------------------------------------------------------------------------------------------------------


def test_it_closes_after_its_number_of_probes_one_after_another() -> None:
    circuit = OPEN
    for number in (1, 2):
        circuit = after_calls(circuit, STRIPE, calls(1, 0, NOW + 60 + number), NOW + 61 + number)
        assert (circuit.state, circuit.passed) == ("half_open", number)
    assert after_calls(circuit, STRIPE, calls(1, 0, NOW + 63), NOW + 64).state == "closed"


@pytest.mark.parametrize(
    ("passed", "reason"), [(0, "a probe failed"), (2, "a probe failed, 2 succeeded")], ids=["first", "third"]
)
def test_it_opens_again_when_a_probe_fails(passed: int, reason: str) -> None:
    circuit = after_calls(HALF_OPEN, STRIPE, calls(passed, 0, NOW + 61), NOW + 62)
    again = after_calls(circuit, STRIPE, calls(0, 1, NOW + 61), NOW + 70)
    assert again == BreakerState("open", until=NOW + 130, since=NOW + 70, reason=reason)


@given(st.integers(0, 50), st.integers(0, 50), st.floats(-1000, 59.9))
def test_calls_that_began_before_are_no_probes(good: int, bad: int, began: float) -> None:
    assert after_calls(HALF_OPEN, STRIPE, calls(good, bad, NOW + began), NOW + 100) == HALF_OPEN


# -- By hand ---------------------------------------------------------------------------------------------------------


def test_one_that_was_opened_by_hand_stays_open_forever() -> None:
    circuit = open_by_hand(math.inf, NOW)
    assert after_calls(circuit, STRIPE, calls(500, 0, NOW + 1e8), NOW + 1e9) == circuit
    assert not lets_through(circuit, NOW + 1e9)


def test_one_that_was_opened_by_hand_for_a_time_asks_probes_then() -> None:
    circuit = open_by_hand(10, NOW)
    assert after_calls(circuit, STRIPE, calls(50, 0, NOW + 5), NOW + 9) == circuit
    assert after_calls(circuit, STRIPE, calls(3, 0, NOW + 11), NOW + 12).state == "closed"


def test_one_that_was_closed_by_hand_continues_by_itself() -> None:
    assert after_calls(closed_by_hand(NOW), STRIPE, calls(0, 20, NOW + 1), NOW + 2).state == "open"


def test_one_that_is_to_stay_closed_counts_but_does_not_open() -> None:
    circuit = after_calls(closed_by_hand(NOW, stay=True), STRIPE, calls(0, 500, NOW + 1), NOW + 2)
    assert (circuit.state, circuit.forced, totals(circuit.window)) == ("closed", True, (500, 500))


@pytest.mark.parametrize("before", [OPEN, HALF_OPEN, open_by_hand(math.inf, NOW)], ids=["open", "half-open", "by hand"])
def test_one_that_is_to_decide_by_itself_tries_probes_at_once(before: BreakerState) -> None:
    circuit = by_itself(before, NOW + 5)
    assert (circuit.state, circuit.until, circuit.forced) == ("half_open", NOW + 5, False)
    assert after_calls(circuit, STRIPE, calls(3, 0, NOW + 5.1), NOW + 6).state == "closed"


def test_one_that_stayed_closed_and_is_to_decide_by_itself_begins_with_nothing() -> None:
    circuit = after_calls(closed_by_hand(NOW, stay=True), STRIPE, calls(0, 500, NOW), NOW + 1)
    circuit = by_itself(circuit, NOW + 2)
    assert (circuit.state, circuit.forced, circuit.window) == ("closed", False, ())
    assert after_calls(circuit, STRIPE, calls(0, 20, NOW + 3), NOW + 4).state == "open"


# -- Always ----------------------------------------------------------------------------------------------------------

events = st.one_of(
    st.tuples(st.just("calls"), st.integers(0, 30), st.integers(0, 30), st.floats(0, 200)),
    st.tuples(st.just("open"), st.one_of(st.floats(0, 100), st.just(math.inf))),
    st.tuples(st.just("close"), st.booleans()),
    st.tuples(st.just("auto")),
    st.tuples(st.just("time")),
)


@given(st.lists(st.tuples(st.floats(0, 100), events), max_size=40))
def test_whatever_happens_the_state_makes_sense(steps: list[tuple[float, tuple[Any, ...]]]) -> None:
    circuit, now = CLOSED, NOW
    for pause, (kind, *arguments) in steps:
        now, before = now + pause, circuit
        match kind:
            case "calls":
                good, bad, age = arguments
                circuit = after_calls(circuit, STRIPE, calls(good, bad, now - age), now)
            case "open":
                circuit = open_by_hand(arguments[0], now)
            case "close":
                circuit = closed_by_hand(now, stay=arguments[0])
            case "auto":
                circuit = by_itself(circuit, now)
            case _:
                circuit = after_time(circuit, now)
        assert lets_through(circuit, now) == (circuit.state != "open" or circuit.until <= now)
        assert circuit.state == "closed" or math.isfinite(circuit.until) or circuit.forced
        assert circuit.state != "half_open" or (circuit.until <= now and circuit.passed < STRIPE.probes)
        assert circuit.state == "closed" or not circuit.window
        assert circuit.since <= now
        assert circuit.state == before.state or circuit.reason
        if before.forced and kind == "calls" and not lets_through(before, now):
            assert circuit == before


@given(st.lists(st.tuples(st.booleans(), st.floats(-5, 5)), max_size=50), st.randoms())
def test_the_order_of_probes_in_a_batch_does_not_matter(batch: list[tuple[bool, float]], random: Any) -> None:
    ended = [Call(NOW + began, succeeded) for succeeded, began in batch]
    shuffled = random.sample(ended, len(ended))
    for circuit in (OPEN, HALF_OPEN):
        assert after_calls(circuit, STRIPE, ended, NOW + 70) == after_calls(circuit, STRIPE, shuffled, NOW + 70)


# -- What it is told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": " x"},
        {"name": "a\x1fb"},
        {"name": "x" * 101},
        {"name": None},
        {"failures": 0},
        {"failures": 1.1},
        {"failures": "0.5"},
        {"failures": math.nan},
        {"window": 0.5},
        {"window": 86_401},
        {"min_calls": 0},
        {"min_calls": 2.5},
        {"cooldown": 0},
        {"cooldown": math.inf},
        {"probes": 0},
        {"probes": True},
        {"on": "OSError"},
        {"on": (OSError, 5)},
    ],
    ids=str,
)
def test_settings_that_cannot_be_used_are_refused_in_a_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        Breaker(**{"name": "stripe", **wrong})
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("Breaker(")


def test_settings_are_plain_values_that_can_be_compared_and_pickled() -> None:
    made = Breaker("stripe", failures=1, window=10, on=[OSError])  # type: ignore[arg-type]  # a list does, too
    assert made == Breaker("stripe", failures=1.0, window=10.0, on=OSError)
    assert hash(made) == hash(pickle.loads(pickle.dumps(made)))


def test_what_is_blamed_on_the_dependency_can_be_chosen() -> None:
    assert all(STRIPE.is_failure(error) for error in (OSError(), ValueError(), SystemExit()))
    picky = Breaker("stripe", on=(ConnectionError, TimeoutError))
    assert picky.is_failure(ConnectionResetError())
    assert not picky.is_failure(ValueError())
    assert not Breaker("stripe", on=OSError).is_failure(Snooze(1))
    assert not Breaker("stripe", on=OSError).is_failure(Cancel())


def test_a_breaker_of_a_job_is_declared_and_of_two_with_one_name_the_last_one_counts() -> None:
    first, second = Breaker("twice", window=10), Breaker("twice", window=20)

    @job(breaker=first)
    def one() -> None: ...

    assert one.job_options.flow.breaker == "twice"
    assert declared_breakers()["twice"] is first
    assert "twice" not in contradictions()
    job(breaker=second)
    assert declared_breakers()["twice"] is second
    assert contradictions()["twice"] == ["window"]
