"""The decorators that register hooks, and the registry of each kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, TypeAlias, TypeVar

from pgjobs.core.errors import UsageError
from pgjobs.hooks.registry import Registry, check_plain, hook_name
from pgjobs.hooks.values import JobOutcome, NewJob
from pgjobs.jobs.context import CurrentJob

AroundJob: TypeAlias = Callable[[CurrentJob], AbstractContextManager[Any] | AbstractAsyncContextManager[Any]]

OnEnqueue: TypeAlias = Callable[[NewJob], Mapping[str, Any] | None]
OnOutcome: TypeAlias = Callable[[JobOutcome], object]

A = TypeVar("A", bound=AroundJob)
E = TypeVar("E", bound=OnEnqueue)
W = TypeVar("W", bound=Callable[[], object])
O = TypeVar("O", bound=OnOutcome)  # noqa: E741 (beside A and E)

around_hooks: Registry[AroundJob] = Registry("around_job")
enqueue_hooks: Registry[OnEnqueue] = Registry("on_enqueue")
outcome_hooks: Registry[OnOutcome] = Registry("on_outcome")
start_hooks: Registry[Callable[[], object]] = Registry("on_worker_start")
stop_hooks: Registry[Callable[[], object]] = Registry("on_worker_stop")
ALL = (around_hooks, enqueue_hooks, outcome_hooks, start_hooks, stop_hooks)


def around_job(function: A, /) -> A:
    """Register a context manager that is entered before each job, and left after it, where the job runs.

    `function` takes the `CurrentJob`; it is most often made by `@contextmanager`, or by `@asynccontextmanager` for what
    has to be awaited: such a one is entered around coroutines only (`async def`), wherever they run.

    Hooks are entered in the order of their registration, and left in reverse. At its `yield` a hook gets the exception
    that the job raised. If it swallows that, or raises another one, the job's own stays, and a line in the log names
    the hook; only `Snooze`, `Retry` and `Cancel` take its place. If the job raised nothing, what a hook raises fails
    the attempt, as a `HookError` that names the hook, and that is always worth another attempt.

    Raises:
        UsageError: it is not callable, or is a generator function or coroutine function without such a decorator.

    """
    if not callable(function):
        check_plain("around_job", function)
    for looks_like, way_out in (
        (inspect.isgeneratorfunction, "put @contextmanager between @around_job and it"),
        (inspect.isasyncgenfunction, "put @asynccontextmanager between @around_job and it"),
        (inspect.iscoroutinefunction, "make it a generator function with @asynccontextmanager"),
    ):
        if looks_like(function):
            raise UsageError(
                f"@around_job takes a context manager, and {hook_name(function)} is not one yet: {way_out}."
            )
    around_hooks.add(function, is_async=_makes_async(function))
    return function


def on_enqueue(function: E, /) -> E:
    """Register a function that is called with a `NewJob` before anything of it is written.

    What it returns, a mapping or None, is merged into the job's metadata, over all that was there. If it raises, the
    job is refused with an `EnqueueError` that names the hook. It is called once for each `enqueue`, once for each call
    of `enqueue_many`, and once for a schedule: when the worker declares it, or an operator adds it. What it adds there
    goes for all of these jobs. SQL's `pgjobs.enqueue` calls no hooks.

    Raises:
        UsageError: it is not a plain function.

    """
    check_plain("on_enqueue", function)
    enqueue_hooks.add(function)
    return function


def on_outcome(function: O, /) -> O:
    """Register a function that is called with a `JobOutcome` after that was written, in the worker process.

    It is called once for each attempt whose outcome this process wrote, in a thread of its own. If it raises, a line in
    the log names it. Attempts that end with their worker process are settled by the supervisor, which calls no hooks.

    Raises:
        UsageError: it is not a plain function.

    """
    check_plain("on_outcome", function)
    outcome_hooks.add(function)
    return function


def on_worker_start(function: W, /) -> W:
    """Register a function that is called in each worker process, and each child process of `executor="process"`.

    That is in its main thread, after its modules are imported and before it runs a job. If it raises in a worker
    process, that ends with one line that names the hook; in a child process, jobs are handed back until it succeeds.

    Raises:
        UsageError: it is not a plain function.

    """
    check_plain("on_worker_start", function)
    start_hooks.add(function)
    return function


def on_worker_stop(function: W, /) -> W:
    """Register a function that is called when such a process ends in order, after its last job.

    The last one registered is called first, and all before what `atexit` knows. All of it may take ten seconds. A
    process that is killed, or whose job is, calls none.

    Raises:
        UsageError: it is not a plain function.

    """
    check_plain("on_worker_stop", function)
    stop_hooks.add(function)
    return function


def _makes_async(function: Callable[..., Any]) -> bool:
    if isinstance(function, type):
        return hasattr(function, "__aenter__") and not hasattr(function, "__enter__")
    return inspect.isasyncgenfunction(inspect.unwrap(function))
