"""Every public function with every value that it is not made for: a clear error, or it is taken as it is."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import (
    Breaker,
    Cancel,
    ExponentialBackoff,
    JobOptions,
    Limit,
    PgjobsError,
    Retry,
    Sequence,
    Settings,
    Snooze,
    Unique,
    UsageError,
    configure,
    enqueue,
    enqueue_many,
    job,
    settings,
)
from pgjobs.core.text import one_line
from pgjobs.payload.pickling import load
from tests.support.rows import row_of
from tests.system.fuzz import tasks
from tests.system.fuzz.contents import contents
from tests.system.fuzz.profile import fuzz
from tests.system.fuzz.values import TAME, VALUES, Mapping, Tuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST = 400  # characters of a message
# What no table is made for: some of it is accepted, where it has a meaning.
VALUE = st.one_of(
    st.sampled_from(sorted(TAME)).map(TAME.__getitem__),
    st.text(max_size=120),
    st.integers(),
    st.floats(),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.binary(max_size=20),
    st.recursive(st.none() | st.booleans() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)),
)
OF_JOB = ["queue", "priority", "max_attempts", "timeout", "executor", "backoff", "retry_on", "give_up_on", "summary"]
OF_ENQUEUE = ["queue", "priority", "max_attempts", "timeout", "delay", "run_at", "executor", "summary"]
OF_FLOW = ["limit", "fair_by", "sequence", "breaker", "expires", "unique"]
PARTS: dict[Any, list[str]] = {
    Limit: ["concurrency", "rate", "burst", "cost"],
    Unique: ["until", "on_conflict"],
    Sequence: ["on_failure"],
}
OF_SETTINGS = [*Settings.__dataclass_fields__, "nonsense"]


def is_clear(error: PgjobsError) -> bool:
    """Return True if a message is one or two lines that a person can read."""
    message = str(error)
    return 10 < len(message) <= LONGEST and len(message.splitlines()) <= 2 and message.isprintable()


def tried(call: Callable[[], Any]) -> Any:
    """Return the result, or None where it is refused in a clear line; any other exception is a failure of the test."""
    try:
        return call()
    except PgjobsError as error:
        if not is_clear(error):
            raise AssertionError(f"not clear: {str(error)[:1000]!r}") from None
        return None


def function() -> None:
    """Do nothing."""


@given(name=st.sampled_from([*OF_JOB, "payload"]), value=VALUE)
@fuzz
def test_an_option_of_a_job_is_taken_or_refused(name: str, value: Any) -> None:
    made = tried(lambda: job(**{name: value})(function))
    if made is not None and hasattr(made.job_options, name):
        kept = getattr(made.job_options, name)
        assert kept == (value.total_seconds() if type(value) is timedelta else value)
        assert type(kept) in (str, int, float, bool, type(None)), "a subclass would do as it likes later"


@pytest.mark.parametrize("which", VALUES)  # by name: pytest itself asks values what they are
def test_no_value_is_too_odd_for_an_option_a_setting_or_an_outcome(which: str) -> None:
    value = VALUES[which]
    for name in (*OF_JOB, *OF_FLOW, "payload"):
        tried(lambda name=name: job(**{name: value})(function))  # type: ignore[misc]
    for name in (*OF_ENQUEUE, *OF_FLOW, "after", "if_failed"):
        tried(lambda name=name: tasks.healthy.options(**{name: value}))  # type: ignore[misc]
    tried(lambda: tasks.healthy.options(after=[value]))
    tried(lambda: Unique.by(value))
    for kind, parts in PARTS.items():
        tried(lambda kind=kind: kind(value))  # type: ignore[misc]
        for name in parts:
            tried(lambda kind=kind, name=name: kind("key", **{name: value}))  # type: ignore[misc]
    for name in ("base", "factor", "maximum", "jitter"):
        tried(lambda name=name: ExponentialBackoff(**{name: value}))  # type: ignore[misc]
    for name in ("name", "failures", "window", "min_calls", "cooldown", "probes", "on"):
        tried(lambda name=name: Breaker(**{"name": "x", name: value}))  # type: ignore[misc]
    for name in OF_SETTINGS:
        tried(lambda name=name: configure(**{name: value}))  # type: ignore[misc]
        tried(lambda name=name: configure(**{name: [value]}))  # type: ignore[misc]
    tried(lambda: JobOptions(policy=value))
    tried(lambda: job(value))
    tried(lambda: Snooze(value))
    tried(lambda: Retry(value))
    for reason in (Cancel(value).reason, Retry(reason=value).reason):
        assert one_line(reason).isprintable() or "\x1b" in one_line(reason) or "\u202e" in one_line(reason)


@given(name=st.sampled_from(OF_SETTINGS), value=VALUE)
@fuzz
def test_a_setting_is_taken_or_refused_and_then_all_is_as_before(name: str, value: Any) -> None:
    before = settings()
    if tried(lambda: configure(**{name: value})) is None:
        assert settings() is before


@given(changes=st.dictionaries(st.sampled_from([*OF_ENQUEUE, "nonsense"]), VALUE, min_size=1, max_size=3))
@fuzz
def test_what_is_enqueued_with_any_options_reads_back_exactly_or_is_refused(
    changes: dict[str, Any], conn: psycopg.Connection
) -> None:
    before = contents(conn)
    changed = tried(lambda: tasks.healthy.options(**changes))
    if changed is None:
        assert contents(conn) == before
        return
    with conn.transaction(force_rollback=True):
        row = row_of(conn, enqueue(conn, changed, 7).id)
        for name in ("queue", "priority", "max_attempts", "executor"):
            assert row[name] == changes.get(name, getattr(tasks.healthy.job_options, name))
        if changes.get("timeout") is None:
            assert row["timeout"] is None
        else:
            assert row["timeout"] == pytest.approx(changes["timeout"], rel=1e-6)  # of four bytes
        if changes.get("run_at") is not None:
            assert row["run_at"] == changes["run_at"]


@given(args=st.lists(VALUE, max_size=3), kwargs=st.dictionaries(st.text(min_size=1, max_size=9), VALUE, max_size=2))
@fuzz
def test_arguments_come_back_as_they_were_or_are_refused(
    args: list[Any], kwargs: dict[str, Any], conn: psycopg.Connection
) -> None:
    before = contents(conn)
    with conn.transaction(force_rollback=True):
        handle = tried(lambda: enqueue(conn, tasks.anything, *args, **kwargs))
        assert conn.execute("SELECT 1").fetchone() == (1,), "the caller's transaction continues"
        if handle is not None:
            row = row_of(conn, handle.id)
            call = load(row["payload"], row["task"])
            assert repr((list(call.args), call.kwargs)) == repr((args, kwargs))
            assert row["summary"].isprintable()
    assert contents(conn) == before


def rename(**names: Any) -> Callable[..., None]:
    """Make a function with other names than it has."""

    def renamed(*_: object) -> None: ...

    for name, value in names.items():
        setattr(renamed, name, value)
    return renamed


class Instance:
    def __call__(self) -> None: ...


CALLABLES: dict[str, Any] = {
    "a function whose name has a NUL": rename(__qualname__="a\0b"),
    "a function whose name has half of a surrogate pair": rename(__qualname__="a\ud800"),
    "a function whose module has a NUL": rename(__module__="a\0b"),
    "a function whose module has half of a surrogate pair": rename(__module__="\ud800"),
    "a partial with an argument that raises": partial(tasks.anything, next(iter(VALUES.values()))),
    "a method of a built-in, without its argument": "x".join,
    "a generator function": lambda: (yield),
}


def test_no_callable_is_too_odd_and_the_callers_transaction_continues(conn: psycopg.Connection) -> None:
    before = contents(conn)
    for odd in (*CALLABLES.values(), *VALUES.values()):
        with conn.transaction(force_rollback=True):
            tried(lambda: enqueue(conn, odd))  # noqa: B023 (called at once)
            tried(lambda: enqueue_many(conn, odd, [()]))  # noqa: B023
            assert conn.execute("SELECT 1").fetchone() == (1,)
    assert contents(conn) == before


def test_no_connection_and_no_items_are_too_odd(conn: psycopg.Connection) -> None:
    before = contents(conn)
    for value in VALUES.values():
        with pytest.raises(PgjobsError) as caught:
            enqueue(value, tasks.anything)
        assert is_clear(caught.value)
        with conn.transaction(force_rollback=True):
            tried(lambda: enqueue_many(conn, tasks.healthy, value))  # noqa: B023 (called at once)
            tried(lambda: enqueue_many(conn, tasks.healthy, [value]))  # noqa: B023
            assert conn.execute("SELECT 1").fetchone() == (1,)
    assert contents(conn) == before


@pytest.mark.parametrize("item", [Mapping(a=1), Tuple((1,)), {1: 2}, 5, "ab"], ids=lambda item: type(item).__name__)
def test_an_item_that_cannot_be_read_is_counted(item: Any, conn: psycopg.Connection) -> None:
    with pytest.raises(UsageError, match="item 1 of enqueue_many is refused: ") as caught:
        enqueue_many(conn, tasks.healthy, [(1,), item])
    assert is_clear(caught.value)


def broken_items() -> Iterator[tuple[int]]:
    """Yield an item, and raise."""
    yield (1,)
    raise OSError("the file ended")


def test_what_the_callers_own_generator_raises_is_the_callers(conn: psycopg.Connection) -> None:
    with pytest.raises(OSError, match="the file ended"):
        enqueue_many(conn, tasks.healthy, broken_items())
    assert contents(conn)[0].startswith("retention")


@pytest.mark.parametrize("state", ["closed", "failed", "read-only"])
def test_the_driver_speaks_for_its_own_connection_and_nothing_is_written(
    state: str, database_url: str, conn: psycopg.Connection
) -> None:
    before = contents(conn)
    with psycopg.connect(database_url) as broken:
        if state == "closed":
            broken.close()
        elif state == "failed":
            with pytest.raises(psycopg.errors.DivisionByZero):
                broken.execute("SELECT 1/0")
        else:
            broken.read_only = True
        with pytest.raises(psycopg.Error):
            enqueue(broken, tasks.anything)
        with pytest.raises(psycopg.Error):
            enqueue_many(broken, tasks.anything, [()])
        if state != "closed":
            broken.rollback()
            broken.read_only = False
            assert enqueue(broken, tasks.anything).id > 0
            broken.rollback()
    assert contents(conn) == before
