"""What is kept of an error: one line, and a bounded traceback."""

from __future__ import annotations

import json
import traceback
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE
from pgjobs.core.text import (
    MAX_ERROR,
    MAX_TRACEBACK,
    bounded,
    describe,
    escape_unprintable,
    matches_glob,
    one_line,
    shorten_repr,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


class Unprintable(Exception):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


def test_any_exception_can_be_described() -> None:
    assert describe(raised(ValueError("no")))[0] == "ValueError: no"
    assert describe(raised(ValueError()))[0] == "ValueError"
    line, trace = describe(raised(Unprintable(SystemExit())))
    assert line.startswith("Unprintable")
    assert "test_text.py" in trace


@pytest.mark.parametrize("kind", RAISED_FROM_OUTSIDE)
def test_what_is_raised_from_outside_while_an_error_is_described_reaches_the_job(kind: type[BaseException]) -> None:
    with pytest.raises(kind):
        describe(raised(Unprintable(kind())))
    with pytest.raises(kind):
        one_line(Unprintable(kind()))


def test_deep_recursion_is_described_within_bounds() -> None:
    def deeper(n: int) -> int:
        return deeper(n + 1) + 1

    with pytest.raises(RecursionError) as caught:
        deeper(0)
    assert len(describe(caught.value)[1]) <= MAX_TRACEBACK + 100


class Wordy(Exception):
    def __str__(self) -> str:
        return "word " * 1_000_000


def in_a_loop(times: int, more: str = "") -> BaseException:
    """Return an error that was raised while another one was handled, and so on."""
    error: BaseException = ValueError("the first")
    for number in range(times):
        following = ValueError(f"attempt {number}{more}")
        following.__context__ = error
        error = following
    return error


def with_notes(*notes: object) -> BaseException:
    error = ValueError("noted")
    error.__notes__ = [*notes]  # type: ignore[list-item]  # as anyone may
    return error


SIZE = 5_000_000


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: ValueError("word 1234567 " * (SIZE // 13)), "ValueError: word 1234567 word"),
        (lambda: ValueError(" " * SIZE), "ValueError:"),
        (lambda: ValueError(list(range(SIZE // 16))), "ValueError: <list of 312,500>"),
        (lambda: ValueError("status", {"body": b"x" * SIZE}), "ValueError: ('status', <dict of 1>)"),
        (lambda: ValueError(*range(SIZE // 16)), "ValueError: (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …)"),
        (lambda: KeyError("key" * (SIZE // 3)), "KeyError: 'keykey"),
        (lambda: Wordy(), "Wordy: word word"),
        (lambda: OSError(2, "gone", "x" * SIZE), "FileNotFoundError: [Errno 2] gone: 'xxx"),
        (
            lambda: ExceptionGroup("many", [ValueError(n) for n in range(SIZE // 500)]),
            "ExceptionGroup: many (10000 sub",
        ),
        (lambda: ExceptionGroup("many", [ValueError("one")] * (SIZE // 500)), "ExceptionGroup: many (10000 sub"),
        (lambda: in_a_loop(SIZE // 500), "ValueError: attempt 9999"),
        (lambda: with_notes("x" * SIZE), "ValueError: noted"),
        (lambda: with_notes(*map(str, range(SIZE // 10))), "ValueError: noted"),
        (lambda: with_notes(list(range(SIZE // 16))), "ValueError: noted"),
        (lambda: type("X" * SIZE, (Exception,), {})("named"), "XXX"),
    ],
    ids=[
        "words",
        "spaces",
        "list",
        "dict",
        "arguments",
        "key",
        "own",
        "file",
        "group",
        "group of one",
        "chain",
        "note",
        "notes",
        "note that is a list",
        "class",
    ],
)
def test_exception_of_any_size_costs_a_bounded_amount(make: Callable[[], BaseException], line: str) -> None:
    error = raised(make())
    tracemalloc.start()
    try:
        described = describe(error)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert described[0].startswith(line)
    assert len(described[0]) <= MAX_ERROR
    assert len(described[1]) <= MAX_TRACEBACK + 100
    assert "in raised" in described[1], "where it was raised is still there"
    writes_itself = isinstance(error, Wordy | OSError)
    assert peak < (2.2 if writes_itself else 0.4) * SIZE, "the text of its own __str__ at most, not many times that"


def test_long_traceback_is_not_copied_to_be_cut() -> None:
    trace = "x" * SIZE
    tracemalloc.start()
    try:
        kept = bounded(trace)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert f"… {SIZE - MAX_TRACEBACK} characters left out …" in kept
    assert peak < SIZE / 10


def test_long_chain_and_large_group_keep_what_is_nearest() -> None:
    trace = describe(in_a_loop(100))[1]
    assert trace.endswith(
        "attempt 98\n\nDuring handling of the above exception, another exception occurred:\n\nValueError: attempt 99\n"
    )
    assert "(earlier exceptions are left out)" in trace
    assert "attempt 50" not in trace
    trace = describe(in_a_loop(100, "x" * 10_000))[1]
    assert "attempt 97x" in trace, "each message is cut, and does not push the others out"
    trace = describe(ExceptionGroup("many", [ValueError(f"member {n}") for n in range(100)]))[1]
    assert "  | ValueError: member 9\n  | … 90 more\n" in trace


def test_ordinary_exception_is_written_as_python_does() -> None:
    try:
        try:
            raise ExceptionGroup("two", [KeyError("a"), ValueError("b\nc")])
        except ExceptionGroup as error:
            error.add_note("a note")
            raise LookupError("first", ["second"]) from error
    except LookupError as error:
        described, expected = describe(error)[1], "".join(traceback.format_exception(error))
    assert described == expected


def test_reason_and_value_of_any_size_are_one_short_line() -> None:
    assert len(one_line("word " * SIZE)) == MAX_ERROR
    assert shorten_repr("x" * SIZE).startswith("'xxx")
    assert shorten_repr([[0] * SIZE]) == "<list of 1>"


class WordyRepr:
    def __repr__(self) -> str:
        return "word " * (SIZE // 5)


def test_value_with_a_long_repr_of_its_own_is_not_taken_apart() -> None:
    tracemalloc.start()
    try:
        shown = shorten_repr(WordyRepr())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert shown == f"{'word ' * 15}word…"
    assert peak < 2 * SIZE


@given(st.text())
def test_a_line_is_one_short_line_that_postgresql_stores(text: str) -> None:
    line = one_line(text)
    assert len(line) <= MAX_ERROR
    assert len(line.splitlines()) <= 1
    assert not set(line) & {chr(code) for code in (*range(32), *range(127, 160), 0x061C, *range(0x202A, 0x202F))}
    line.encode()


def test_what_cannot_be_stored_or_moves_a_cursor_is_escaped() -> None:
    assert one_line("a\x00b\ud800c") == "a\\x00b\\ud800c"
    assert one_line("\x1b[31m \x9b2J \u202elanosrep\u2069") == "\\x1b[31m \\x9b2J \\u202elanosrep\\u2069"
    assert one_line("\u061ca\u200eb\u200f\u2028c") == "\\u061ca\\u200eb\\u200f\\u2028c"
    assert one_line("नमस्ते \u200d 👩\u200d🚀") == "नमस्ते \u200d 👩\u200d🚀", "joiners belong to the text"
    assert bounded("line\n\tanother\x9b2J\u2066\n") == "line\n\tanother\\x9b2J\\u2066\n"


@given(st.text())
def test_json_means_the_same_when_its_text_is_escaped(text: str) -> None:
    whole = {text: [text]}
    escaped = escape_unprintable(json.dumps(whole, ensure_ascii=False, indent=2))
    assert json.loads(escaped) == whole
    assert escaped.replace("\n", "").isprintable()


@given(st.text(), st.integers(min_value=1, max_value=3000))
def test_a_traceback_keeps_its_head_and_its_tail(text: str, times: int) -> None:
    trace = f"HEAD{text * times}TAIL"
    kept = bounded(trace)
    assert kept.startswith("HEAD")
    assert kept.endswith("TAIL")
    assert len(kept) <= MAX_TRACEBACK + 100
    kept.encode()


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True),
        ("a*", "a", True),
        ("*a*b", "xaybzb", True),
        ("*a*b", "xaybzbc", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a.c", "abc", False),
        ("*\n?", "x\n-", True),
        ("**", "anything", True),
        ("", "a", False),
        ("a", "", False),
    ],
)
def test_a_glob_matches_the_whole_text(pattern: str, text: str, fits: bool) -> None:
    assert matches_glob(pattern, text) is fits


def test_many_stars_are_matched_in_no_time() -> None:
    assert not matches_glob("*" * 250 + "x", "default" * 30)
    assert not matches_glob("*a" * 120 + "x", "a" * 250)
