"""Whose declarations count: rolling deployments, crashes, services that are down, clocks that leap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from pgjobs.schedules.ownership import ScheduleOwner, counting, decided_by, kept

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


def owner(
    number: int, names: str, *, role: str = "shop", started: timedelta, seen: timedelta = SECOND, ended: bool = False
) -> ScheduleOwner:
    """A supervisor that was started, and seen, so long ago."""
    last = NOW - seen
    return ScheduleOwner(UUID(int=number), role, frozenset(names.split()), NOW - started, last, last if ended else None)


def test_two_versions_side_by_side_have_the_schedules_of_both_and_the_newer_one_decides() -> None:
    old, new = owner(1, "a b", started=DAY), owner(2, "b c", started=MINUTE)

    assert kept([old, new], NOW) == {"a", "b", "c"}
    assert decided_by(old.id, [old, new], NOW) == {"a"}
    assert decided_by(new.id, [new, old], NOW) == {"b", "c"}


def test_an_old_version_that_is_started_again_decides_until_it_is_gone() -> None:
    new, old_again = owner(1, "a", started=MINUTE), owner(2, "a", started=SECOND)
    gone = owner(2, "a", started=SECOND * 2, ended=True)

    assert decided_by(new.id, [new, old_again], NOW) == set()
    assert decided_by(new.id, [new, gone], NOW) == {"a"}


def test_who_takes_the_place_of_one_that_ended_lets_go_of_what_it_had() -> None:
    old, new = owner(1, "a b", started=DAY, seen=MINUTE, ended=True), owner(2, "b", started=SECOND)

    assert kept([old, new], NOW) == {"b"}
    assert counting([old, new], NOW) == [new]


def test_one_that_was_killed_counts_until_it_has_been_silent_for_a_while_and_another_is_in_its_place() -> None:
    new = owner(2, "b", started=SECOND)

    assert kept([owner(1, "a", started=DAY, seen=MINUTE), new], NOW) == {"a", "b"}
    assert kept([owner(1, "a", started=DAY, seen=2 * MINUTE), new], NOW) == {"b"}


def test_who_imports_something_else_takes_nobodys_place() -> None:
    down, other = owner(1, "a", started=DAY, seen=DAY, ended=True), owner(2, "b", role="mail", started=SECOND)

    assert kept([down, other], NOW) == {"a", "b"}


def test_a_service_that_is_down_keeps_its_schedules_for_a_week() -> None:
    for days, names in ((6, {"a"}), (8, set())):
        assert kept([owner(1, "a", started=9 * DAY, seen=days * DAY)], NOW) == names


def test_code_without_schedules_takes_the_place_of_code_that_had_some() -> None:
    old, new = owner(1, "a", started=DAY, ended=True), owner(2, "", started=SECOND)

    assert kept([old, new], NOW) == set()


def test_when_the_clock_leaps_those_that_have_not_beaten_since_still_count() -> None:
    """Here by an hour: only the second one has beaten again."""
    first, second = owner(1, "a", started=2 * DAY, seen=60 * MINUTE), owner(2, "b", role="x", started=DAY)

    assert kept([first, second], NOW) == {"a", "b"}


def test_when_the_clock_is_set_back_who_was_heard_in_the_future_is_alive() -> None:
    assert owner(1, "a", started=-MINUTE, seen=-MINUTE).is_alive(NOW)
