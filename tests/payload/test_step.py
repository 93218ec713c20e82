"""Steps as calls: what is remembered of a function, and what is each attempt's own."""

from __future__ import annotations

from typing import Any

from pgjobs import job
from pgjobs.payload import step as module
from pgjobs.payload.pickling import Call
from pgjobs.payload.step import StepJob, step_of


@job(max_attempts=7)
def double(number: int) -> int:
    return 2 * number


@job
async def later(number: int) -> int:
    return number


def loaded(function: Any, **head: Any) -> StepJob:
    made = step_of({"workflow": 1, "step": True, **head}, Call(function, (2,), {})).callable
    assert isinstance(made, StepJob)
    return made


def test_attempts_share_what_is_known_of_their_function_and_nothing_else() -> None:
    one, other = loaded(double), loaded(double, workflow=2, step=False)
    one.grown = "more"
    assert (one.head["workflow"], other.head["workflow"]) == (1, 2)
    assert (one.may_add, other.may_add, other.grown) == (True, False, None)
    assert one.function.__self__ is one  # type: ignore[attr-defined]  # a method of its own
    assert other.function.__self__ is other  # type: ignore[attr-defined]  # the same
    assert one.job_options.max_attempts == other.job_options.max_attempts == 7


def test_what_is_remembered_depends_on_the_function_and_on_what_its_row_says() -> None:
    assert [loaded(double, keep=keep).job_options.result for keep in (None, 60, 90, None, 60)] == [
        *(None, 60.0, 90.0, None, 60.0)
    ]
    assert not loaded(double).is_async
    assert loaded(later).is_async
    assert loaded(double).inner is double


def test_a_function_that_was_made_anew_is_not_remembered() -> None:
    def local(number: int) -> int:
        return number

    before = dict(module._known)
    for function in (local, double.options(priority=1), job(local)):
        assert loaded(function).inner is function
    assert module._known == before


def test_no_more_functions_are_remembered_than_a_program_has(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_known", {})
    monkeypatch.setattr(module, "_MOST_KNOWN", 2)
    for keep in range(1, 6):
        assert loaded(double, keep=keep).job_options.result == keep
    assert len(module._known) <= 2
