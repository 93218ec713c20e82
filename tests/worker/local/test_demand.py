"""How much a worker claims, and how long it waits when there is nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.worker.local.demand import (
    INBOX_SECONDS,
    MAX_BATCH,
    MAX_PREFETCHED,
    demand,
    moving_mean,
    prefetch,
    room_left,
    surplus,
    wait_after,
)

SLOTS = st.integers(1, 10_000)
MEANS = st.one_of(st.none(), st.floats(0, 1e5))


@given(SLOTS, MEANS)
def test_what_is_fetched_ahead_is_about_a_quarter_of_a_second_of_work(slots: int, mean: float | None) -> None:
    ahead = prefetch(mean, slots)
    assert 0 <= ahead <= MAX_PREFETCHED
    if mean is None or mean > INBOX_SECONDS:
        assert ahead == 0
    else:
        assert ahead * mean / slots <= INBOX_SECONDS * 1.000001


@given(SLOTS, MEANS, st.integers(0, 20_000))
def test_no_more_is_claimed_than_fits_into_slots_and_inbox(slots: int, mean: float | None, outstanding: int) -> None:
    wanted = demand(outstanding, slots, mean)
    assert 0 <= wanted <= MAX_BATCH
    assert wanted == 0 or outstanding + wanted <= slots + prefetch(mean, slots)


@given(SLOTS, MEANS, st.data())
def test_a_free_slot_with_an_empty_inbox_always_asks_for_a_job(
    slots: int, mean: float | None, data: st.DataObject
) -> None:
    assert demand(data.draw(st.integers(0, slots - 1)), slots, mean) > 0


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.integers(1, 1000))
def test_the_mean_lies_between_the_old_and_the_new(old: float, new: float, jobs: int) -> None:
    mean = moving_mean(old, new * jobs, jobs)
    assert min(old, new) * 0.999 - 1e-9 <= mean <= max(old, new) * 1.001 + 1e-9


@pytest.mark.parametrize(
    ("waiting", "mean", "too_many"),
    [(0, None, 0), (8, 1.0, 0), (9, 1.0, 5), (96, 0.3, 92), (96, 0.001, 0), (500, 0.05, 476)],
)
def test_what_waits_is_too_much_when_it_is_twice_what_would_be_fetched(
    waiting: int, mean: float | None, too_many: int
) -> None:
    assert surplus(waiting, 4, mean) == too_many


def test_the_first_jobs_are_the_mean() -> None:
    assert moving_mean(None, 3.0, 2) == 1.5


def test_twenty_jobs_replace_an_old_mean() -> None:
    assert moving_mean(100.0, 20.0, 20) == 1.0


def test_waits_grow_from_quick_polls_to_the_doorbell() -> None:
    waits = [wait_after(misses, doorbell=True) for misses in range(1, 10)]
    assert [wait.arm for wait in waits] == [False] * 3 + [True] * 6
    seconds = [wait.seconds for wait in waits]
    assert seconds == sorted(seconds)
    assert 0.1 < sum(second for second in seconds if second < 0.1) < 0.2, "others may commit a bit later, unheard"
    assert 0.5 < seconds[-1] < 1


@given(st.integers(1, 1000))
def test_without_a_doorbell_a_worker_polls_at_least_ten_times_a_second(misses: int) -> None:
    wait = wait_after(misses, doorbell=False)
    assert not wait.arm
    assert 0 < wait.seconds <= 0.1


@pytest.mark.parametrize(
    ("wanted", "slots", "tokens", "room"),
    [(5, None, None, 5), (5, 3, None, 3), (5, 0, 9.0, 0), (5, -2, None, 0), (5, None, 1.9999999999, 2), (5, 9, 2.5, 2)],
)
def test_the_least_of_what_is_wanted_and_left_is_claimed(
    wanted: int, slots: int | None, tokens: float | None, room: int
) -> None:
    assert room_left(wanted, slots, tokens) == room
