"""Keys made from arguments: the same text for the same value, and nothing that is not a key."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import UsageError
from pgjobs.flow.keys import Template, text_of


class Plan(enum.Enum):
    FREE = "free"
    PAID = 2


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def rendered(template: str, **values: Any) -> str:
    return Template("limit_key", template).render({name: text_of("limit_key", name, values[name]) for name in values})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        ("x y", "x y"),
        (True, "True"),
        (None, "None"),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (date(2030, 1, 2), "2030-01-02"),
        (datetime(2030, 1, 2, tzinfo=UTC), "2030-01-02T00:00:00+00:00"),
        (time(1, 2), "01:02:00"),
        (timedelta(hours=1), "1:00:00"),
        (Plan.FREE, "free"),
        (Plan.PAID, "2"),
        (Text("plain"), "plain"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_are_written_as_they_are(value: Any, text: str) -> None:
    assert rendered("tenant:{t}", t=value) == f"tenant:{text}"


@pytest.mark.parametrize(
    "value",
    [object(), b"x", [1], {}, lambda: 1, 10**5000, float("nan"), "", "a\nb", "\x1f", "x" * 101],
    ids=["object", "bytes", "list", "dict", "function", "huge", "nan", "empty", "newline", "separator", "long"],
)
def test_what_makes_no_key_is_refused_in_one_line_that_names_the_option(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^limit_key=") as caught:
        rendered("{t}", t=value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "template",
    ["{", "}", "{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "a {b c}", "", "x" * 101, "a\tb", "{{\x00"],
)
def test_what_is_not_a_template_is_refused_when_it_is_made(template: str) -> None:
    with pytest.raises(UsageError, match=r"^limit_key="):
        Template("limit_key", template)


@given(st.text(min_size=1, max_size=40), st.integers(-(10**9), 10**9))
def test_it_is_what_str_format_makes(text: str, number: int) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    expected = f"{escaped}:{{n}}".format(n=number)
    if expected.isprintable():
        assert rendered(f"{escaped}:{{n}}", n=number) == expected


def test_braces_alone_can_be_written() -> None:
    assert rendered("{{x}}") == "{x}"
