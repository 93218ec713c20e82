"""Summaries: readable, bounded, without secrets, and never in the way."""

from __future__ import annotations

import functools
import time
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.core.text import MAX_SUMMARY
from pgjobs.payload.summary import Summarizer, is_secret
from tests.support.functions import Mailer, log_in, make_closure, plain, send_receipt


class Colour(Enum):
    RED = 1


class Word(StrEnum):
    ONE = "one"


@dataclass
class Account:
    name: str
    password: str
    note: str = field(default="hidden", repr=False)


@dataclass(slots=True)
class Slotted:
    number: int
    pin: int


Pair = namedtuple("Pair", "left token")


class Rude:
    """What must not be touched for a summary: everything here raises."""

    def __repr__(self) -> str:
        raise SystemExit

    __str__ = __repr__

    def __getattr__(self, name: str) -> Any:
        raise SystemExit

    @property  # type: ignore[misc]  # a property is what proxies make of it
    def __class__(self) -> Any:
        raise SystemExit


class LyingText(str):
    __slots__ = ()

    def __repr__(self) -> str:
        raise SystemExit


def summarize(callable: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    return Summarizer(callable)(args, kwargs)


def shown(value: object) -> str:
    summary = summarize(plain, (value,), {})
    assert summary is not None
    return summary.removeprefix("plain(").removesuffix(")")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (42, "42"),
        (-1.5, "-1.5"),
        (True, "True"),
        (None, "None"),
        ("it's", '"it\'s"'),
        (b"\x00", "b'\\x00'"),
        ([1, "a"], "[1, 'a']"),
        ((1,), "(1,)"),
        ((), "()"),
        ({1}, "{1}"),
        ({"a": 1}, "{'a': 1}"),
        (OrderedDict(a=1), "{'a': 1}"),
        (defaultdict(int, a=1), "{'a': 1}"),
        (Colour.RED, "Colour.RED"),
        (Word.ONE, "Word.ONE"),
        (Decimal("1.50"), "1.50"),
        (date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/etc/hosts"), "'/etc/hosts'"),
        (plain, "plain"),
        (Mailer, "Mailer"),
        (Mailer("mx"), "<Mailer>"),
        (Rude(), "<Rude>"),
        (LyingText("abc"), "'abc'"),
        (Account("bob", "hunter2"), "Account(name='bob', password=***)"),
        (Slotted(1, 1234), "Slotted(number=1, pin=***)"),
        (Pair(1, "abc"), "Pair(left=1, token=***)"),
        ([Account("bob", "hunter2")], "[Account(name='bob', password=***)]"),
        ("x" * 61, f"'{'x' * 60}'..."),
        ([0] * 1000, "[0, 0, 0, 0, 0, 0, 0, 0, ... 992 more]"),
        ([[[[1]]]], "[[[[...]]]]"),
        (10**5000, "<int of 16,610 bits>"),
        ("a\nb\x00c\ud800", "'a\\nb\\x00c\\ud800'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_shown_readably_and_without_running_its_code(value: object, expected: str) -> None:
    assert shown(value) == expected


@pytest.mark.parametrize(
    ("callable", "args", "kwargs", "expected"),
    [
        (send_receipt, (42,), {"copy": True}, "send_receipt(42, copy=True)"),
        (send_receipt.options(queue="x"), (42,), {}, "send_receipt(42)"),
        (functools.partial(send_receipt, 42), (), {"copy": True}, "send_receipt(42, copy=True)"),
        (Mailer("mx").send, ("a",), {}, "Mailer.send('a')"),
        (Mailer("mx").send_later, ("a",), {}, "Mailer.send_later('a')"),
        (Mailer("mx"), ("a",), {}, "Mailer('a')"),
        (Mailer, ("mx",), {}, "Mailer('mx')"),
        (len, ([],), {}, "len([])"),
        (make_closure(1), (2,), {}, "inner(2)"),
        (lambda x: x, (2,), {}, "<lambda>(2)"),
    ],
)
def test_a_call_is_shown_as_it_would_be_written(callable: Any, args: Any, kwargs: Any, expected: str) -> None:
    assert summarize(callable, args, kwargs) == expected


def test_arguments_named_like_secrets_are_masked() -> None:
    assert summarize(log_in, ("bob", "hunter2"), {}) == "log_in('bob', ***)"
    assert (
        summarize(log_in, ("bob", "hunter2", "t1", "t2"), {"api_key": "k"})
        == "log_in('bob', ***, ***, ***, api_key=***)"
    )
    assert summarize(log_in, (), {"user": "bob", "password": "hunter2"}) == "log_in(user='bob', password=***)"
    assert summarize(functools.partial(log_in, "bob", "hunter2"), ("t1",), {}) == "log_in('bob', ***, ***)"
    assert summarize(functools.partial(log_in, password="hunter2"), ("bob",), {}) == "log_in('bob', password=***)"
    assert shown({"user": "bob", "Authorization": "Bearer x"}) == "{'user': 'bob', 'Authorization': ***}"
    assert shown([{"headers": {"X-Api-Key": "k"}}]) == "[{'headers': {'X-Api-Key': ***}}]"


SECRET = """
    password passwd db_password userPassword PASSWORD pwd passphrase secret client_secret token access_token authToken
    api_key apikey apiKey X-Api-Key authorization auth credential credentials private_key access_key session_key
    sessionid cookie Set-Cookie pin pin_2 otp jwt cvv ssn bearer
"""
HARMLESS = "user author pinned spin key keys monkey compass passenger order_id authored url"


@pytest.mark.parametrize("name", SECRET.split())
def test_a_name_like_a_secret_is_recognised(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", HARMLESS.split())
def test_a_name_that_only_resembles_one_is_not_taken_for_a_secret(name: str) -> None:
    assert not is_secret(name)


def test_the_work_is_bounded() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    cycle: list[Any] = []
    cycle.append(cycle)
    wide = {str(n): {str(m): ["x" * 100] * 100 for m in range(20)} for n in range(1000)}
    args = ("x" * 10_000_000, list(range(1_000_000)), deep, cycle, wide, b"x" * 10_000_000, 10**20_000, wide)
    seconds = []
    for _ in range(5):  # and of its own CPU time, as others run beside it; a collection of garbage may fall into one
        start = time.thread_time()
        summary = summarize(print, args, {"x" * 1_000_000: 1})
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.05
    assert summary is not None
    assert len(summary) == MAX_SUMMARY
    while deep:  # taken apart by hand: a list this deep can overflow the stack when it is freed
        deep = deep.pop()


def test_arguments_without_end_are_cut() -> None:
    assert len(summarize(print, tuple(range(1_000_000)), {}) or "") == MAX_SUMMARY


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner) | st.frozensets(st.text()),
)


@given(st.lists(values), st.dictionaries(st.text(), values))
def test_it_is_always_one_short_line_that_postgresql_stores(args: list[Any], kwargs: dict[str, Any]) -> None:
    summary = summarize(print, tuple(args), kwargs)
    assert summary is not None
    assert len(summary) <= MAX_SUMMARY
    assert summary.isprintable()
    assert "\x00" not in summary
    summary.encode()
