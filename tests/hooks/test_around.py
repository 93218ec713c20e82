"""Hooks around a job: order, what they see, and that they replace nothing in silence."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import Cancel, CurrentJob, JobTimeout, Retry, Snooze, current_job, job
from pgjobs.hooks import HookError, around_job
from pgjobs.jobs.outcome import COMPLETED, Cancelled, Failed, Outcome, Retried, Snoozed
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors.awaiting import KeptLoop, Rest
from pgjobs.worker.executors.invoke import await_here, call_now
from tests.support.claimed import claimed_job
from tests.support.tasks_ends import LyingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

seen: list[Any] = []
number: ContextVar[int] = ContextVar("number")


@pytest.fixture(autouse=True)
def empty() -> None:
    seen.clear()


@job
def add(a: int = 1, b: int = 2) -> int:
    seen.append("job")
    return a + b


@job
async def add_later() -> int:
    await asyncio.sleep(0)
    seen.append("job")
    return 3


def returns_awaitable() -> Any:
    seen.append("called")
    return add_later.function()


def fails() -> None:
    raise ValueError("no")


def lies() -> None:
    raise LyingError


async def fails_later() -> None:
    await asyncio.sleep(0)
    raise ValueError("no")


def run(function: Callable[..., Any], **fields: Any) -> Outcome:
    """Run it as a job in this thread, and give its outcome."""
    context, claimed, loop = Context(), claimed_job(**fields), KeptLoop()
    try:
        done = context.run(call_now, claimed, Call(function, (), {}))
        return context.run(await_here, claimed, done, loop, None) if isinstance(done, Rest) else done
    finally:
        loop.close()


def error_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Retried | Failed), outcome
    return outcome.error


def noting(name: str) -> Callable[[CurrentJob], Any]:
    @around_job
    @contextmanager
    def hook(job: CurrentJob) -> Iterator[None]:
        assert job == current_job()
        seen.append(f"{name} in")
        token = number.set(1)
        try:
            yield
        except BaseException as error:
            seen.append(f"{name} {type(error).__name__}")
            raise
        else:
            seen.append(f"{name} out")
        finally:
            number.reset(token)

    return hook


def noting_later(name: str) -> None:
    @around_job
    @asynccontextmanager
    async def hook(_: CurrentJob) -> AsyncIterator[None]:
        seen.append(f"{name} in")
        await asyncio.sleep(0)
        try:
            yield
        except BaseException as error:
            seen.append(f"{name} {type(error).__name__}")
            raise
        await asyncio.sleep(0)
        seen.append(f"{name} out")


def raising(error: BaseException, *, at_end: bool = True) -> None:
    @around_job
    @contextmanager
    def faulty(_: CurrentJob) -> Iterator[None]:
        if not at_end:
            raise error
        try:
            yield
        finally:
            raise error


def test_hooks_are_entered_in_order_and_left_in_reverse() -> None:
    noting("a")
    noting_later("b")
    noting("c")

    assert run(add) is COMPLETED
    assert seen == ["a in", "c in", "job", "c out", "a out"]
    seen.clear()
    assert run(add_later) is COMPLETED
    assert seen == ["a in", "b in", "c in", "job", "c out", "b out", "a out"]


@pytest.mark.parametrize("function", [fails, fails_later])
def test_hooks_see_what_the_job_raises(function: Any) -> None:
    noting("a")
    noting("b")
    outcome = run(function)

    assert seen == ["a in", "b in", "b ValueError", "a ValueError"]
    assert error_of(outcome) == "ValueError: no"
    assert isinstance(outcome, Retried)
    assert "in hook" not in str(outcome.traceback)


def test_hooks_are_left_where_what_a_function_returned_was_awaited() -> None:
    noting("a")

    assert run(returns_awaitable) is COMPLETED
    assert seen == ["a in", "called", "job", "a out"]


@pytest.mark.parametrize("function", [fails, fails_later, lambda: fails_later()])
def test_hook_that_swallows_an_exception_makes_no_success(function: Any, caplog: pytest.LogCaptureFixture) -> None:
    noting("a")

    @around_job
    @contextmanager
    def swallows(_: CurrentJob) -> Iterator[None]:
        try:
            yield
        except ValueError:
            pass

    assert error_of(run(function)) == "ValueError: no"
    assert seen[-1] == "a ValueError"
    assert "swallows swallowed what the job raised (ValueError)" in caplog.text


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("function", [add, add_later, returns_awaitable])
@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), asyncio.InvalidStateError()], ids=repr)
def test_hook_that_raises_fails_the_attempt_and_is_named(error: BaseException, function: Any, at_end: bool) -> None:
    noting("a")
    raising(error, at_end=at_end)
    outcome = run(function)

    assert error_of(outcome).startswith(
        f"HookError: the hook {__name__}:raising.<locals>.faulty raised {type(error).__name__}"
    )
    assert isinstance(outcome, Retried)
    assert "in faulty" in str(outcome.traceback)
    assert seen[-1] == "a HookError"
    assert ("job" in seen) is at_end


def test_failure_of_a_hook_is_worth_a_retry_whatever_the_job_says() -> None:
    raising(KeyError("x"))
    careful = job(retry_on=(OSError,), give_up_on=(KeyError, RuntimeError, HookError), backoff=7)(add.function)
    outcome = run(careful)

    assert isinstance(outcome, Retried)
    assert outcome.delay == 7
    assert isinstance(run(careful, attempt=5), Failed)


@pytest.mark.parametrize("error", [KeyError("x"), Snooze(3)], ids=repr)
@pytest.mark.parametrize("wish", [Snooze(9), Cancel("enough"), Retry(5), JobTimeout("late")], ids=repr)
def test_what_a_job_wishes_passes_hooks_as_it_is(
    wish: BaseException, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def wishes() -> None:
        raise wish

    noting("a")
    plain = run(wishes)
    raising(error)
    outcome = run(wishes)

    assert type(outcome) is type(plain)
    assert getattr(outcome, "error", outcome) == getattr(plain, "error", plain)
    assert seen[-1] == f"a {type(wish).__name__}"
    assert f"faulty raised {type(error).__name__}" in caplog.text


@pytest.mark.parametrize("function", [add, fails, fails_later])
@pytest.mark.parametrize("at_end", [False, True])
def test_hook_may_wish_for_a_snooze_or_a_cancellation(
    function: Any, at_end: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    raising(Snooze(9), at_end=at_end)
    assert run(function) == Snoozed(9.0)
    assert ("raised Snooze in place of ValueError" in caplog.text) is (at_end and function is not add)
    raising(Cancel("closed"), at_end=False)
    assert run(function) in (Cancelled("closed"), Snoozed(9.0))


def test_hook_that_raises_when_the_job_has_failed_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    raising(KeyError("x"))

    assert error_of(run(fails)) == error_of(run(fails_later)) == "ValueError: no"
    assert caplog.text.count("faulty raised KeyError ('x') when it was left: what the job raised (ValueError)") == 2


def test_what_lies_about_its_class_fails_as_it_does_without_hooks(caplog: pytest.LogCaptureFixture) -> None:
    raising(KeyError("x"))

    assert error_of(run(lies)) == "LyingError, and looking at it raised OddError"
    assert "what the job raised (LyingError)" in caplog.text


@pytest.mark.parametrize("function", [add, add_later])
def test_hook_that_yields_twice_or_never_fails_the_attempt(function: Any) -> None:
    @around_job
    @contextmanager
    def twice(_: CurrentJob) -> Iterator[None]:
        yield
        yield

    assert "hooks.test_around:test_hook_that_yields_twice_or_never_fails_the_attempt.<locals>.twice raised" in error_of(
        run(function)
    )

    @around_job
    @contextmanager
    def never(_: CurrentJob) -> Iterator[None]:
        yield from ()

    assert "never raised RuntimeError" in error_of(run(function))


@pytest.mark.parametrize("function", [add, add_later])
def test_hook_that_makes_no_context_manager_fails_the_attempt(function: Any) -> None:
    makes_none: Any = lambda _: None  # noqa: E731 (that is what is tried)
    around_job(makes_none)

    assert "<lambda> raised TypeError: it returned a NoneType, which is not a context manager" in error_of(
        run(function)
    )


def test_hook_registered_by_a_class_or_a_factory() -> None:
    class Spans:
        def __init__(self, job: CurrentJob) -> None:
            seen.append(job.task)

        def __enter__(self) -> None:
            seen.append("in")

        def __exit__(self, *info: object) -> None:
            seen.append(info[0])

    around_job(Spans)
    assert run(add) is COMPLETED
    assert seen == ["a:b", "in", "job", None]


def test_generators_without_a_decorator_are_refused() -> None:
    def plain(_: CurrentJob) -> Iterator[None]:
        yield

    async def later(_: CurrentJob) -> AsyncIterator[None]:
        yield

    async def coroutine(_: CurrentJob) -> None: ...

    hooks: list[Any] = [plain, later, coroutine]
    for hook, word in zip(hooks, ("@contextmanager", "@asynccontextmanager", "@asynccontextmanager"), strict=True):
        with pytest.raises(ValueError, match=f"{hook.__name__} is not one yet: .*{word}"):
            around_job(hook)
    with pytest.raises(ValueError, match="not callable"):
        around_job(7)  # type: ignore[type-var]  # that is what is tried
