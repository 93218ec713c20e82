"""What the stress decides, it decides from its seed and from what it sees."""

from __future__ import annotations

import random
from collections import Counter

from tests.system.stress.load import options_of
from tests.system.stress.plan import CHANGES, FATES, FAULTS, FULL, View, next_call, next_change, next_fault, phases
from tests.system.stress.tasks import TASKS, Mode, word_of

VIEW = View(10, (1, 2, 3), (4, 5), (6,), (7,), (8,), (), "storm")


def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 (no secret)


def test_the_same_seed_and_view_lead_to_the_same_steps() -> None:
    one, other = dice(1), dice(1)
    for _ in range(200):
        assert next_call(one, VIEW) == next_call(other, VIEW)
        assert next_change(one, VIEW) == next_change(other, VIEW)
        assert next_fault(one) == next_fault(other)


def test_everything_comes_up() -> None:
    mixed = dice(2)
    calls = [call for _ in range(3000) if (call := next_call(mixed, VIEW)) is not None]
    options = Counter(name for call in calls for name in call.options)
    assert {"limit", "sequence", "fair_by", "breaker", "unique", "after", "expires", "delay", "timeout"} <= set(options)
    assert {call.options["sequence"][1] for call in calls if "sequence" in call.options} == {"block", "skip", "end"}
    assert {call.fate for call in calls} == {fate for _, fate in FATES}
    assert {True, False} == {call.commit for call in calls}
    assert {next_change(mixed, VIEW).kind for _ in range(3000)} == {kind for _, kind in CHANGES}
    assert {next_fault(mixed).kind for _ in range(1000)} == {kind for _, kind in FAULTS}


def test_what_is_planned_can_be_enqueued() -> None:
    mixed = dice(3)
    for _ in range(1000):
        call = next_call(mixed, VIEW)
        assert call is not None
        TASKS[call.task].options(**options_of(call))


def test_nothing_is_enqueued_while_there_is_enough() -> None:
    assert next_call(dice(4), View(FULL)) is None


def test_what_is_paused_is_resumed() -> None:
    paused = View(10, paused=(("queue", "mixed"),))
    kinds = Counter(next_change(dice(seed), paused).kind for seed in range(100))
    assert kinds["resume queue"] > 40


def test_storms_and_calm_take_turns_until_the_time_is_over() -> None:
    found = phases(dice(5), 60.0)
    assert [phase for phase, _ in found][:3] == ["storm", "calm", "storm"]
    assert sum(length for _, length in found) == 60.0


def test_a_job_ends_as_planned_until_all_is_calm() -> None:
    wild, calm = Mode(False, False), Mode(True, True)
    assert [word_of("fails once", attempt, 1, wild, breaker=False) for attempt in (1, 2)] == ["fail", "ok"]
    assert word_of("fails", 5, 5, wild, breaker=False) == "fail"
    assert word_of("fails", 5, 5, calm, breaker=True) == "ok"
    assert word_of("ok", 1, 1, Mode(False, True), breaker=True) == "down"
    assert word_of("ok", 1, 1, Mode(False, True), breaker=False) == "ok"
