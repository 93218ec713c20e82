"""What is kept of an error: one line, and a bounded traceback."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE
from pgjobs.core.text import MAX_ERROR, MAX_TRACEBACK, bounded, describe, one_line


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


@given(st.text())
def test_a_line_is_one_short_line_that_postgresql_stores(text: str) -> None:
    line = one_line(text)
    assert len(line) <= MAX_ERROR
    assert len(line.splitlines()) <= 1
    assert "\x00" not in line
    line.encode()


def test_lone_surrogates_and_nul_are_escaped() -> None:
    assert one_line("a\x00b\ud800c") == "a\\x00b\\ud800c"


@given(st.text(), st.integers(min_value=1, max_value=3000))
def test_a_traceback_keeps_its_head_and_its_tail(text: str, times: int) -> None:
    trace = f"HEAD{text * times}TAIL"
    kept = bounded(trace)
    assert kept.startswith("HEAD")
    assert kept.endswith("TAIL")
    assert len(kept) <= MAX_TRACEBACK + 100
    kept.encode()
