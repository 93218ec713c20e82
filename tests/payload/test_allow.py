"""The allow-list: what a payload may resolve, and that nothing else is imported or called."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import configure, settings
from pgjobs.core.allowlist import AllowList, parse_allow
from pgjobs.core.errors import NotAllowedError, PayloadError, UsageError
from pgjobs.payload.pickling import dump, load
from tests.support import functions

HERE = AllowList(("tests.support.functions",))


@pytest.mark.parametrize(
    ("pattern", "module", "name", "permitted"),
    [
        ("shop.tasks", "shop.tasks", "send", True),
        ("shop.tasks", "shop.tasks", "Mailer.send", True),
        ("shop.tasks", "shop.tasks.more", "send", False),
        ("shop.tasks", "shop.tasksandmore", "send", False),
        ("shop.*", "shop", "send", True),
        ("shop.*", "shop.tasks.more", "send", True),
        ("shop.*", "shopping", "send", False),
        ("shop.tasks:send", "shop.tasks", "send", True),
        ("shop.tasks:send", "shop.tasks", "sender", False),
        ("shop.tasks:Mailer", "shop.tasks", "Mailer.send", True),
        ("shop.tasks:Mailer.send", "shop.tasks", "Mailer", False),
    ],
)
def test_a_pattern_permits_a_module_a_package_or_a_name(pattern: str, module: str, name: str, permitted: bool) -> None:
    assert AllowList((pattern,)).permits(module, name) is permitted


@pytest.mark.parametrize(
    "pattern", ["", "*", "shop*", "*.tasks", "shop.*:send", "shop..tasks", "shop:", "1shop", "a b"]
)
def test_what_is_not_a_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="MODULE"):
        AllowList((pattern,))


def test_patterns_are_set_by_the_environment_or_in_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGJOBS_ALLOW", "shop.*, mail.tasks:send")
    assert type(settings()).from_environment().allow == AllowList(("shop.*", "mail.tasks:send"))
    assert configure(allow=["shop.*"]).allow == AllowList(("shop.*",))
    assert configure(allow="shop.*,mail").allow == AllowList(("shop.*", "mail"))
    with pytest.raises(UsageError, match="PGJOBS_ALLOW"):
        configure(allow=[3])
    assert parse_allow(["a,b", "c"]).patterns == ("a", "b", "c")


VALUES = [
    None,
    {1: [2.5, "x", b"y", {3}, frozenset({4}), (5, complex(1, 2))]},
    bytearray(b"z"),
    range(3),
    slice(1, 2),
    Decimal("1.50"),
    Fraction(1, 3),
    datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, tzinfo=ZoneInfo("Europe/Berlin")),
    date(2026, 1, 2),
    timedelta(seconds=5),
    uuid.UUID(int=5),
    OrderedDict(a=1),
    Counter("aab"),
    deque([1, 2], maxlen=3),
    defaultdict(list, {1: [2]}),
    PurePosixPath("a/b"),
    Path("a"),
    ip_address("10.0.0.1"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_values_need_no_permission(value: object) -> None:
    call = load(dump(functions.add, (value, 1), {}), "tests.support.functions:add", HERE)
    assert call.args[0] == value


def test_a_job_its_bound_method_and_its_partial_may_be_called() -> None:
    for function in (functions.add, partial(functions.add, 1), functions.add.options(delay=5)):
        assert load(dump(function, (1,), {}), "tests.support.functions:add", HERE)() in (1, 2)
    mailer = functions.Mailer("localhost")
    for method in (mailer.send, mailer.send_later):
        assert "ann" in str(load(dump(method, ("ann",), {}), "tests.support.functions:Mailer", HERE)())


class Evil:
    """Pickled as a call of whatever it is given."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.what = (function, args)

    def __reduce__(self) -> Any:
        return self.what


@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.system, "touch /tmp/pwned"),
        Evil(eval, "1"),
        Evil(exec, "1"),
        Evil(__import__, "os"),
        Evil(getattr, functions.Mailer, "__subclasses__"),
        Evil(getattr, str, "format"),
        Evil(setattr, functions.Mailer, "send", 1),
        Evil(subprocess.Popen, ["true"]),
        Evil(pickle.loads, b"x"),
        Evil(partial, os.system, "true"),
    ],
    ids=lambda evil: evil.what[0].__name__,
)
def test_nothing_else_is_resolved(evil: Evil) -> None:
    payload = pickle.dumps((functions.add, (evil,), {}), 5)
    with pytest.raises(NotAllowedError, match="--allow"):
        load(payload, "tests.support.functions:add", HERE)


def test_a_module_that_is_not_allowed_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    payload = b"\x80\x05\x8c\x04this\x8c\x01s\x93\x29\x7d\x87."
    with pytest.raises(NotAllowedError):
        load(payload, "tests.support.functions:add", HERE)
    with pytest.raises(NotAllowedError):
        load(payload, "this:s", HERE)
    assert "this" not in sys.modules


def _names(module: str, name: str) -> bytes:
    strings = [b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)]
    return b"\x80\x05" + strings[0] + strings[1] + b"\x93)}\x87."


FOREIGN = {
    "job",
    "Iterator",
    "annotations",
    "add.__class__",
    "plain.__globals__",
    "plain.__code__",
    "plain.__class__",
} | {
    "plain.__call__",
    "Mailer.__subclasses__",
    "Mailer.__reduce_ex__",
    "Mailer.__init__.__globals__",
}


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_what_an_allowed_module_has_imported_is_not_its_own(name: str) -> None:
    with pytest.raises(PayloadError):
        load(_names("tests.support.functions", name), "tests.support.functions:add", HERE)


def test_a_task_that_is_not_allowed_is_refused_whatever_its_payload_says() -> None:
    with pytest.raises(NotAllowedError, match="os:system"):
        load(dump(functions.add, (1, 2), {}), "os:system", HERE)


@given(st.binary(max_size=200))
def test_whatever_bytes_there_are_either_load_or_are_refused(payload: bytes) -> None:
    with suppress(PayloadError):  # and no other
        load(b"\x80\x05" + payload, "tests.support.functions:add", HERE)
