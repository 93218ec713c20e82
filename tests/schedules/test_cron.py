"""When schedules fire: over daylight saving, leap days, missed firings, and clocks that leap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pgjobs.core.errors import UsageError
from pgjobs.schedules.cron import MISSED_AFTER, Cron, Missed, Step, firings, parse

BERLIN = ZoneInfo("Europe/Berlin")
SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def shown(cron: Cron, moment: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """Show the next firings on the clocks of that place."""
    return [f"{firing.astimezone(zone):%d %H:%M:%S %z}" for firing in islice(cron.after(at(moment)), count)]


def minutes(*numbers: int) -> tuple[datetime, ...]:
    return tuple(at("2026-01-01T12:00") + timedelta(minutes=number) for number in numbers)


def test_a_time_of_the_day_stays_where_it_is_when_clocks_are_turned() -> None:
    cron = parse("0 9 * * MON-FRI", "Europe/Berlin")

    assert shown(cron, "2026-03-27T00:00", 2) == ["27 09:00:00 +0100", "30 09:00:00 +0200"]
    assert shown(cron, "2026-10-23T00:00", 2) == ["23 09:00:00 +0200", "26 09:00:00 +0100"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_is_left_out_fires_when_the_gap_ends(expression: str) -> None:
    cron = parse(expression, "Europe/Berlin")

    assert shown(cron, "2026-03-28T00:00", 3) == ["28 02:30:00 +0100", "29 03:00:00 +0200", "30 02:30:00 +0200"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
@pytest.mark.parametrize("start", ["2026-10-25T00:00", "2026-10-25T00:29:59"])
def test_a_time_that_comes_twice_fires_once(expression: str, start: str) -> None:
    cron = parse(expression, "Europe/Berlin")

    assert shown(cron, start, 2) == ["25 02:30:00 +0200", "26 02:30:00 +0100"]


@pytest.mark.parametrize("start", ["2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:15", "2026-10-25T01:30"])
def test_who_looks_again_in_the_second_of_two_hours_does_not_fire_again(start: str) -> None:
    assert shown(parse("30 2 * * *", "Europe/Berlin"), start, 1) == ["26 02:30:00 +0100"]


def test_several_times_within_a_gap_are_one() -> None:
    cron = parse("0,20,40 2 * * *", "Europe/Berlin")

    assert shown(cron, "2026-03-29T00:00", 2) == ["29 03:00:00 +0200", "30 02:00:00 +0200"]


def test_what_goes_by_the_hour_goes_by_real_hours() -> None:
    cron = parse("0 * * * *", "Europe/Berlin")

    assert [f.hour for f in islice(cron.after(at("2026-03-28T23:30")), 3)] == [0, 1, 2]  # UTC: none is left out
    assert shown(cron, "2026-10-24T23:30", 3) == ["25 02:00:00 +0200", "25 02:00:00 +0100", "25 03:00:00 +0100"]


def test_a_zone_whose_clocks_are_turned_at_midnight() -> None:
    cron = parse("15 0 * * *", "Africa/Cairo")  # from 00:00 to 01:00 on 24 April 2026

    assert shown(cron, "2026-04-23T12:00", 2, ZoneInfo("Africa/Cairo")) == ["24 01:00:00 +0300", "25 00:15:00 +0300"]


def test_leap_days() -> None:
    cron = parse("0 0 29 2 *")

    assert [firing.year for firing in islice(cron.after(at("2096-01-01")), 2)] == [2096, 2104]


def test_seconds() -> None:
    cron = parse("*/20 * * * * *")

    assert [firing.second for firing in islice(cron.after(at("2026-01-01T12:00:01")), 4)] == [20, 40, 0, 20]


def test_a_part_of_a_second_is_before_the_next_one() -> None:
    assert parse("* * * * * *").next(at("2026-01-01T12:00:00.999")) == at("2026-01-01T12:00:01")


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "give five fields"),
        ("* * * *", "give five fields"),
        ("* * * * * * *", "give five fields"),
        ("60 * * * *", "bad minute"),
        ("* * * * MOON", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 ² * *", "bad day-of-month"),
        ("1#2/3 * * * *", "bad minute"),
        ("* * * * " + "1," * 200 + "1", "give five fields"),
        ("0 9 * *\0*", "give five fields"),
        (None, "give five fields"),
        (5, "give five fields"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_not_an_expression_is_refused_in_one_line(expression: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        parse(expression)

    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("tz", ["Europe/Nowhere", "", "../../etc/passwd", "a\0b", None, UTC, "Europe", "x" * 500])
def test_what_is_not_a_time_zone_is_refused_in_one_line(tz: Any) -> None:
    with pytest.raises(UsageError, match="tz=") as refused:
        parse("* * * * *", tz)

    assert len(str(refused.value).splitlines()) == 1


EACH_MINUTE = parse("* * * * *")


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
def test_what_is_due_fires_whatever_is_done_about_missed_ones(missed: Missed) -> None:
    (due, after) = minutes(0, 1)

    assert firings(EACH_MINUTE, due, due - SECOND, missed) == Step((), due)
    assert firings(EACH_MINUTE, due, due, missed) == Step((due,), after)
    assert firings(EACH_MINUTE, due, due + 59 * SECOND, missed) == Step((due,), after)
    assert firings(EACH_MINUTE, due, after, missed) == Step((due, after), after + 60 * SECOND)


@pytest.mark.parametrize(
    ("missed", "fire"),
    [("skip", minutes(9)), ("once", minutes(9)), ("all", minutes(*range(10)))],
    ids=["skip", "once", "all"],
)
def test_missed_firings(missed: Missed, fire: tuple[datetime, ...]) -> None:
    (due, until, after) = minutes(0, 9, 10)

    assert firings(EACH_MINUTE, due, until + 30 * SECOND, missed) == Step(fire, after)


def test_skip_leaves_out_all_when_nothing_is_due_now() -> None:
    (due,) = minutes(0)

    assert firings(parse("0 * * * *"), due, due + MISSED_AFTER + SECOND, "skip") == Step((), due + timedelta(hours=1))


@pytest.mark.parametrize(
    ("expression", "years", "last"),
    [
        ("* * * * * *", 5, "2031-01-01T12:00:00"),
        ("0 0 1 * *", 5, "2031-01-01T00:00:00"),
        ("0 0 29 2 *", 5, "2028-02-29T00:00:00"),
        ("0 0 29 2 *", 40, "2064-02-29T00:00:00"),
    ],
)
def test_once_gives_the_last_of_many_years_without_going_through_all(expression: str, years: int, last: str) -> None:
    cron = parse(expression)
    due = cron.next(at("2025-12-31T23:59:59"))
    assert due is not None

    step = firings(cron, due, at(f"{2026 + years}-01-01T12:00"), "once")

    assert step.fire == (at(last),)
    assert step.next_at is not None
    assert step.next_at > at(f"{2026 + years}-01-01T12:00")


def test_once_gives_the_only_one_that_was_missed() -> None:
    (due,) = minutes(0)

    assert firings(parse("0 12 1 1 *"), due, due + timedelta(days=100), "once").fire == (due,)


def test_all_comes_in_steps_that_together_are_all() -> None:
    (due, until) = minutes(0, 1000)
    seen: list[datetime] = []
    next_at: datetime | None = due
    steps = 0
    while next_at is not None and next_at <= until:
        fire, next_at = firings(EACH_MINUTE, next_at, until, "all")
        assert len(fire) <= 100
        seen += fire
        steps += 1

    assert (tuple(seen), steps) == (minutes(*range(1001)), 11)


def test_a_promised_firing_comes_though_the_expression_has_changed() -> None:
    (due,) = minutes(0)

    assert firings(parse("30 12 * * *"), due, due + SECOND, "once") == Step((due,), due + timedelta(minutes=30))


def test_the_end_of_time_is_not_an_error() -> None:
    assert parse("0 0 1 1 *").next(at("9999-12-31")) is None
