"""The worker's pure functions: demand, frontier, waits, what follows from a death, the configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.errors import UsageError
from pgjobs.outcome import RELEASED, Failed, Retried
from pgjobs.retry import since_replay
from pgjobs.worker.config import QueueSlots, WorkerConfig, parse_queue
from pgjobs.worker.demand import (
    BIGGEST_BATCH,
    INBOX_SECONDS,
    MOST_PREFETCHED,
    demand,
    moving_mean,
    prefetch,
    wait_after,
)
from pgjobs.worker.frontier import PRIORITIES, SWEEP_EVERY, SWEEP_SHARE, Frontier
from pgjobs.worker.rescue import Death, outcome_for
from pgjobs.worker.settle import Claim
from pgjobs.worker.supervisor import LONGEST_PAUSE, restart_pause

SLOTS = st.integers(1, 10_000)
MEANS = st.one_of(st.none(), st.floats(0, 1e5))

# -- demand ----------------------------------------------------------------------------------------------------------


@given(SLOTS, MEANS)
def test_what_is_fetched_ahead_is_about_a_quarter_of_a_second_of_work(slots: int, mean: float | None) -> None:
    ahead = prefetch(mean, slots)
    assert 0 <= ahead <= MOST_PREFETCHED
    if mean is None or mean > INBOX_SECONDS:
        assert ahead == 0
    else:
        assert ahead * mean / slots <= INBOX_SECONDS * 1.000001


@given(SLOTS, MEANS, st.integers(0, 20_000))
def test_no_more_is_claimed_than_fits_into_slots_and_inbox(slots: int, mean: float | None, outstanding: int) -> None:
    wanted = demand(outstanding, slots, mean)
    assert 0 <= wanted <= BIGGEST_BATCH
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


def test_the_first_jobs_are_the_mean() -> None:
    assert moving_mean(None, 3.0, 2) == 1.5


def test_twenty_jobs_replace_an_old_mean() -> None:
    assert moving_mean(100.0, 20.0, 20) == 1.0


def test_waits_grow_from_quick_polls_to_the_doorbell() -> None:
    waits = [wait_after(misses, doorbell=True) for misses in range(1, 6)]
    assert [wait.arm for wait in waits] == [False, False, False, True, True]
    seconds = [wait.seconds for wait in waits[:4]]
    assert seconds == sorted(set(seconds))
    assert waits[-1].seconds < 1


@given(st.integers(1, 1000))
def test_without_a_doorbell_a_worker_polls_at_least_ten_times_a_second(misses: int) -> None:
    wait = wait_after(misses, doorbell=False)
    assert not wait.arm
    assert 0 < wait.seconds <= 0.1


# -- frontier --------------------------------------------------------------------------------------------------------

BASE = datetime(2026, 1, 1, tzinfo=UTC)


class Table:
    """A model of a queue in the table: due rows, claimed in order from the frontier's places."""

    def __init__(self) -> None:
        self.rows: set[tuple[int, datetime, int]] = set()
        self.next_id = 1

    def add(self, priority: int, second: int) -> None:
        self.rows.add((priority, BASE + timedelta(seconds=second), self.next_id))
        self.next_id += 1

    def claim(self, frontier: Frontier, wanted: int, now: float) -> int:
        places = frontier.start(now)
        found = sorted(row for row in self.rows if (row[1], row[2]) >= places[row[0]])[:wanted]
        self.rows -= set(found)
        last = {row[0]: (row[1], row[2]) for row in found}
        frontier.claimed(last, full=len(found) >= wanted, began=now, now=now + 0.001)
        return len(found)


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 9), st.integers(0, 100)),
        st.tuples(st.just("claim"), st.integers(1, 5), st.floats(0.001, 1.0)),
    ),
    max_size=60,
)


@given(CHANGES)
def test_no_due_row_is_overlooked_for_ever(changes: list[tuple[str, int, Any]]) -> None:
    """Rows may come in any place, also behind the frontier; claims find them all within a sweep's pause."""
    table, frontier, now = Table(), Frontier(), 0.0
    for kind, first, second in changes:
        if kind == "add":
            table.add(first, second)
        else:
            now += second
            table.claim(frontier, first, now)
    while table.rows:
        left = len(table.rows)
        for _ in range(2):  # what is ahead of the frontier; then what is behind
            now += SWEEP_EVERY + 0.1
            table.claim(frontier, 3, now)
        assert len(table.rows) < left


@given(CHANGES)
def test_a_sweep_takes_the_first_rows_of_all(changes: list[tuple[str, int, Any]]) -> None:
    table, frontier, now = Table(), Frontier(), 0.0
    for kind, first, second in changes:
        if kind == "add":
            table.add(first, second)
            continue
        now += second
        before = sorted(table.rows)
        claimed = table.claim(frontier, first, now)
        if frontier.sweeping:
            assert sorted(table.rows) == before[claimed:]
            assert claimed == min(first, len(before))


def test_the_first_claim_is_a_sweep() -> None:
    frontier = Frontier()
    places = frontier.start(0.0)
    assert frontier.sweeping
    assert len(places) == len(PRIORITIES) == 10


def test_claims_after_a_full_one_start_where_it_left_off_until_the_next_sweep_is_due() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    frontier.claimed({5: (BASE, 7)}, full=True, began=0.0, now=0.001)
    assert frontier.start(0.1)[5] == (BASE, 7)
    assert not frontier.sweeping
    assert frontier.start(0.1)[4] < (BASE, 0)
    frontier.start(SWEEP_EVERY + 0.002)
    assert frontier.sweeping


@given(st.floats(0.001, 100))
def test_sweeps_take_five_percent_of_the_time_at_most(cost: float) -> None:
    frontier = Frontier()
    frontier.start(0.0)
    frontier.claimed({}, full=False, began=0.0, now=cost)
    frontier.start(cost + SWEEP_SHARE * cost * 0.99)
    assert not frontier.sweeping


# -- what follows from a death ---------------------------------------------------------------------------------------

ATTEMPT = Claim(42, 3)


def test_what_ran_when_its_worker_died_counts_and_is_a_suspect() -> None:
    death = Death(1, "killed by SIGSEGV", frozenset({ATTEMPT}))
    outcome = outcome_for(death, ATTEMPT, (3, 5))
    assert isinstance(outcome, Retried)
    assert outcome.isolate
    assert outcome.error == "its worker process died while it ran: killed by SIGSEGV"


def test_after_a_replay_a_loss_waits_as_after_a_first_attempt() -> None:
    death = Death(1, "killed by SIGSEGV", frozenset({Claim(42, 11)}))
    for _ in range(50):
        outcome = outcome_for(death, Claim(42, 11), since_replay(11, 15, 10))
        assert isinstance(outcome, Retried)
        assert outcome.delay <= 2.0


def test_what_ran_for_the_last_time_when_its_worker_died_has_failed() -> None:
    outcome = outcome_for(Death(1, "exit code 1", frozenset({ATTEMPT})), ATTEMPT, (3, 3))
    assert outcome == Failed("its worker process died while it ran: exit code 1")


@pytest.mark.parametrize("started", [frozenset(), frozenset({Claim(42, 2)}), frozenset({Claim(41, 3)})])
def test_what_had_not_started_is_released(started: frozenset[Claim]) -> None:
    assert outcome_for(Death(1, "killed by SIGKILL", started), ATTEMPT, (3, 3)) is RELEASED


def test_what_was_interrupted_by_a_shutdown_is_released() -> None:
    assert outcome_for(Death(1, None, frozenset({ATTEMPT})), ATTEMPT, (3, 3)) is RELEASED


def test_a_stuck_job_counts_and_is_no_suspect() -> None:
    outcome = outcome_for(Death(1, None, frozenset({ATTEMPT}), {ATTEMPT: "JobTimeout: …"}), ATTEMPT, (3, 5))
    assert isinstance(outcome, Retried)
    assert not outcome.isolate
    assert outcome.error == "JobTimeout: …"


def test_restarts_get_slower_up_to_half_a_minute() -> None:
    pauses = [restart_pause(lives) for lives in range(20)]
    assert pauses[:2] == [0.0, 0.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == restart_pause(10_000) == LONGEST_PAUSE


# -- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "slots"),
    [("mail", "mail", 10), ("mail:20", "mail", 20), ("a:b:3", "a:b", 3), ("größe:1", "größe", 1)],
)
def test_a_queue_is_a_name_and_its_slots(text: str, name: str, slots: int) -> None:
    assert parse_queue(text) == QueueSlots(name, slots)


@pytest.mark.parametrize(
    "text", ["", ":", ":5", "mail:", "mail:0", "mail:-1", "mail:x", "mail:1.5", "mail:10001", "x" * 101]
)
def test_what_is_no_queue_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_queue(text)


@given(
    st.lists(
        st.tuples(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20), st.integers(1, 10_000)),
        min_size=1,
        unique_by=lambda queue: queue[0],
    ),
    st.integers(1, 256),
    st.booleans(),
)
def test_a_configuration_survives_the_way_to_the_worker_process(
    queues: list[tuple[str, int]], processes: int, drain: bool
) -> None:
    config = WorkerConfig(
        "postgresql://a:b@c/d",
        tuple(QueueSlots(*queue) for queue in queues),
        ("shop.tasks",),
        processes=processes,
        drain=drain,
    )
    assert WorkerConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "changes",
    [
        {"queues": ()},
        {"queues": (QueueSlots("a"), QueueSlots("a", 2))},
        {"processes": 0},
        {"processes": 257},
        {"grace": -1},
        {"heartbeat": 0},
        {"heartbeat": 16},
        {"rescue_after": 9},
    ],
)
def test_a_configuration_that_can_not_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        WorkerConfig("postgresql://a", **changes)
