"""What could start, by the stress's own rules, and what has waited for too long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.system.stress.lanes import Bucket, Limit, Look, Running, Waiting, Watch, free_slots, has_room, startable

JOB = Waiting(2, "q", True, "task", limit_key="lim:1", sequence="s", breaker="b")
FREE = Look(waiting=[JOB], slots={1: {"q": 1}})


def test_a_job_that_nothing_holds_up_could_start() -> None:
    assert startable(FREE) == [JOB]


@pytest.mark.parametrize(
    "what",
    [
        {"all_paused": True},
        {"paused": frozenset({"q"})},
        {"paused_tasks": frozenset({"task"})},
        {"closed_off": frozenset({"b"})},
        {"blocked": frozenset({"s"})},
        {"limits": {"lim:1": Limit(0)}},
        {"limits": {"lim:*": Limit(1)}, "running": [Running("q", 1, "lim:1")]},
        {"limits": {"lim:1": Limit(None, 1.0, 1.0)}, "buckets": {("limit", "lim:1"): Bucket(0.0, 0.5)}},
        {"queues": {"q": Limit(1)}, "running": [Running("q", 1)]},
        {"running": [Running("q", 1, None, "s")]},
        {"waiting": [JOB, Waiting(1, "other", False, "task", "later", sequence="s")]},
        {"waiting": [JOB._replace(due=False)]},
        {"waiting": [JOB._replace(held="needs")]},
        {"waiting": [JOB._replace(held="task")]},
    ],
)
def test_each_thing_that_holds_a_job_up_is_known(what: dict[str, Any]) -> None:
    assert startable(replace(FREE, **what)) == []


def test_slots_are_free_where_fewer_jobs_run_than_a_live_worker_has() -> None:
    look = Look(slots={1: {"q": 2, "r": 1}, 2: {"q": 1}}, running=[Running("q", 1), Running("r", 1), Running("q", 9)])
    assert free_slots(look) == {"q": 2, "r": 0}


def test_a_bucket_fills_up_to_its_burst() -> None:
    limit = Limit(None, 2.0, 1.0)
    assert has_room(limit, 5, Bucket(-1.0, 1.0), 3.0)
    assert not has_room(limit, 5, Bucket(-1.0, 0.9), 1.0)
    assert has_room(limit, 5, None, 3.0)


def seen(looks: list[Look], **how: Any) -> list[int]:
    watch = Watch()
    watch.see(replace(FREE, at=0.9, running=[Running("q", 1)]))  # the worker has claimed before
    return [idle.job.id for look in looks for idle in watch.see(look, **how)]


def times(*ats: float) -> list[Look]:
    return [replace(FREE, at=at) for at in ats]


def test_a_job_that_could_start_for_too_long_is_told_once() -> None:
    assert seen(times(1.0, 1.2, 1.4, 1.51, 1.6)) == [2]
    assert seen(times(1.0, 1.2, 1.4, 1.5)) == []


def test_a_gap_between_two_looks_says_nothing() -> None:
    assert seen(times(1.0, 1.2, 1.4, 1.7, 1.8)) == []


def test_a_job_that_could_not_start_meanwhile_has_not_waited() -> None:
    looks = times(1.0, 1.2, 1.4, 1.6)
    busy = replace(FREE, at=1.3, running=[Running("q", 1)])
    assert seen([*looks[:2], busy, *looks[2:]]) == []


def test_a_worker_that_has_not_begun_to_claim_has_no_slots() -> None:
    watch = Watch()
    assert [watch.see(look) for look in times(1.0, 1.2, 1.4, 1.6)] == [[], [], [], []]


def test_a_job_that_a_setting_let_free_may_wait_longer() -> None:
    assert seen(times(1.0, 1.2, 1.4, 1.6, 1.8), changed=True) == []


def test_seconds_count_for_less_where_processes_wait_for_a_core() -> None:
    assert seen(times(1.0, 1.2, 1.4, 1.6, 1.8), crowd=2.0) == []
    assert seen(times(1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2), crowd=2.0) == [2]
    assert seen(times(1.0, 1.2, 1.4, 1.6), crowd=0.1) == [2]


def test_a_job_that_may_be_locked_is_not_looked_at() -> None:
    assert seen(times(1.0, 1.2, 1.4, 1.6), excused=frozenset({2})) == []
