"""The worker's pure functions: demand, frontier, waits, what follows from a death, the configuration."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import cycle
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.core.errors import UsageError
from pgjobs.jobs.outcome import RELEASED, Failed, Retried
from pgjobs.jobs.retry import since_replay
from pgjobs.worker.claim.cursor import BEGINNING, NEAR, SLICE, SWEEP_EVERY, SWEEP_SHARE, Frontier
from pgjobs.worker.config import QueueSlots, WorkerConfig, parse_queue
from pgjobs.worker.local.demand import (
    BIGGEST_BATCH,
    INBOX_SECONDS,
    MOST_PREFETCHED,
    demand,
    moving_mean,
    prefetch,
    surplus,
    wait_after,
)
from pgjobs.worker.runtime.registration import application_name, claim_role
from pgjobs.worker.runtime.settle import Claim
from pgjobs.worker.supervisor.rescue import Death, outcome_for
from pgjobs.worker.supervisor.supervisor import LONGEST_PAUSE, restart_pause

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

    def claim(self, frontier: Frontier, wanted: int, now: float, cost: float = 0.001) -> int:
        clock = NOW + timedelta(seconds=now)
        look = frontier.start(now, clock)
        found = sorted(
            row for row in self.rows if (row[1], row[2]) >= look.places[row[0]] and row[1] <= look.untils[row[0]]
        )[:wanted]
        self.rows -= set(found)
        last = {row[0]: (row[1], row[2]) for row in found}
        frontier.claimed(last, full=len(found) >= wanted, began=now, now=now + cost, clock=clock)
        return len(found)


NOW = BASE + timedelta(seconds=200)  # all rows of the model are due
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 9), st.integers(0, 100)),
        st.tuples(st.just("claim"), st.integers(1, 5), st.floats(0.001, 1.0)),
    ),
    max_size=60,
)
COSTS = st.lists(st.sampled_from([SLICE / 10, SLICE / 2, SLICE * 3]), min_size=1, max_size=20)


@given(CHANGES, COSTS)
def test_no_due_row_is_overlooked_for_ever(changes: list[tuple[str, int, Any]], costs: list[float]) -> None:
    """Rows may come in any place, also behind the frontier; claims find them all, whatever the sweeps cost."""
    table, frontier, now, cost = Table(), Frontier(), 0.0, cycle(costs)
    for kind, first, second in changes:
        if kind == "add":
            table.add(first, second)
        else:
            now += second
            table.claim(frontier, first, now, next(cost))
    while table.rows:
        left = len(table.rows)
        for _ in range(200):  # a pass in slices
            now += SWEEP_EVERY + 0.1
            table.claim(frontier, 3, now, SLICE / 10)
        assert len(table.rows) < left


@given(CHANGES)
def test_where_sweeps_are_quick_each_takes_the_first_rows_of_all(changes: list[tuple[str, int, Any]]) -> None:
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


def test_sweeps_look_back_two_seconds_however_dear_they_are() -> None:
    """Each costs more than a slice should, as on a busy machine; a row that commits a second late must not wait."""
    table, frontier, now = Table(), Frontier(), 0.0
    for _ in range(200):
        now += 0.5
        table.add(5, -100)  # the pass is never at its end before there is something to find again
        table.claim(frontier, 100, now, SLICE * 10)
    late = (5, NOW + timedelta(seconds=now - 1), table.next_id)
    table.rows.add(late)
    for _ in range(3):
        now += 0.3
        table.claim(frontier, 100, now, SLICE * 10)
    assert late not in table.rows


def test_after_a_look_that_took_very_long_slices_begin_at_once() -> None:
    """Somebody holds a snapshot, and a fresh worker looks at everything: 20 times that long would be blind."""
    frontier = Frontier()
    frontier.start(1.0, NOW)
    frontier.claimed({}, full=False, began=1.0, now=3.0, clock=NOW)
    assert frontier.next_sweep <= 3.0 + SWEEP_SHARE * SLICE
    assert frontier.start(frontier.next_sweep, NOW).places[0] > BEGINNING


@pytest.mark.parametrize("name", ["mail", "Grüße", "x" * 100])
def test_connections_that_claim_are_told_apart_by_their_names(name: str) -> None:
    prefix = application_name(12, claim_role(name, prefix=True))
    whole = application_name(12, claim_role(name))
    assert prefix.isascii()
    assert len(prefix) <= 63
    assert whole.startswith(prefix)
    for other in (f"{name}-bulk", name[:-1] + "y"):
        assert not application_name(12, claim_role(other)).startswith(prefix)


@given(CHANGES, COSTS)
def test_an_empty_queue_is_told_only_after_everything_was_looked_at(
    changes: list[tuple[str, int, Any]], costs: list[float]
) -> None:
    table, frontier, now, cost = Table(), Frontier(), 0.0, cycle(costs)
    added = math.inf  # when the last row came
    for kind, first, second in changes:
        if kind == "add":
            table.add(first, second)
            added = now
        else:
            now += second
            table.claim(frontier, first, now, next(cost))
            if frontier.empty_since > added:
                assert not table.rows


def test_the_first_claim_looks_at_everything() -> None:
    frontier = Frontier()
    look = frontier.start(1.0, NOW)
    assert frontier.sweeping
    assert look.places == [BEGINNING] * 10
    assert min(look.untils) > NOW


def test_claims_after_a_full_one_start_where_it_left_off_until_the_next_sweep_is_due() -> None:
    frontier = Frontier()
    frontier.start(1.0, NOW)
    frontier.claimed({5: (BASE, 7)}, full=True, began=1.0, now=1.001, clock=NOW)
    look = frontier.start(1.1, NOW)
    assert not frontier.sweeping
    assert look.places[5] == (BASE, 7)
    assert look.places[6] == BEGINNING, "nobody has looked there"
    frontier.start(1.001 + SWEEP_EVERY + 0.001, NOW)
    assert frontier.sweeping


@pytest.mark.parametrize("full", [True, False])
def test_priorities_that_were_used_up_are_looked_at_from_just_before_now_on(full: bool) -> None:
    frontier = Frontier()
    frontier.start(1.0, NOW)
    frontier.claimed({5: (BASE, 7)}, full=full, began=1.0, now=1.001, clock=NOW)
    places = frontier.start(1.002, NOW + timedelta(seconds=10)).places
    assert not frontier.sweeping
    assert places[4] == (NOW - NEAR, 0)
    assert places[6] == (BEGINNING if full else (NOW - NEAR, 0))


def test_no_claim_starts_later_than_just_before_now() -> None:
    """Transactions that run side by side commit out of order: one may come that is a bit older than what was taken."""
    frontier = Frontier()
    frontier.start(1.0, NOW)
    frontier.claimed({5: (NOW, 7)}, full=False, began=1.0, now=1.001, clock=NOW)
    assert frontier.start(1.002, NOW).places[5] == (NOW - NEAR, 0)


@pytest.mark.parametrize("cost", [0.001, 0.01, 0.04])
def test_sweeps_take_a_twentieth_of_the_time(cost: float) -> None:
    frontier = Frontier()
    frontier.start(1.0, NOW)
    frontier.claimed({}, full=False, began=1.0, now=1.0 + cost, clock=NOW)
    frontier.start(1.0 + cost + SWEEP_SHARE * cost * 0.99, NOW)
    assert not frontier.sweeping


def test_among_dead_rows_sweeps_go_back_slice_by_slice_and_every_second_one_looks_at_what_is_recent() -> None:
    """Ten minutes of dead rows, each second of which costs a sweep a millisecond."""
    frontier, now, deepest, recent, dear = Frontier(), 1.0, 0.0, 0, []
    for _ in range(1_500):
        clock = NOW + timedelta(seconds=now)
        look = frontier.start(now, clock)
        ages = [(clock - max(time, clock - timedelta(seconds=600))).total_seconds() for time, _ in look.places]
        until = max(0.0, (clock - look.untils[5]).total_seconds())
        cost = max(0.0, ages[5] - until) / 1000
        if frontier.sweeping:
            deepest = max(deepest, (clock - look.places[5][0]).total_seconds())
            recent += not until
            dear.append(cost)
        frontier.claimed({}, full=False, began=now, now=now + cost, clock=clock)
        now = max(now + cost, frontier.next_sweep) + 1e-6
    assert deepest > 86_400 * 365, "it got to the end"
    assert 0.4 < recent / len(dear) < 0.6
    settled = dear[50:]
    assert median(settled) <= 2 * SLICE
    assert max(settled) < 6 * SLICE, "all at once it would be 300"


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
