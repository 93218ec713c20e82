"""`@job`: a function with options, that still is the function; and what can be known about any callable.

Methods work too: `mailer.send` of a decorated method is a job bound to `mailer`, which travels in the payload. Under
`@staticmethod` and `@classmethod`, `@job` is the inner decorator. Classes are enqueued as they are, without `@job`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields
from pickle import PicklingError
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypedDict, TypeVar, cast, overload

from pgjobs.core.callables import parameters_of, unwrap
from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_str, is_exactly
from pgjobs.flow.breaker import Breaker, declare
from pgjobs.flow.limits import declare_limit_of
from pgjobs.flow.options import FLOW_OPTIONS, NO_FLOW, FlowOptions, OnFailure, check_dependent_options
from pgjobs.jobs.options import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    Executor,
    JobOptions,
    PayloadKind,
    make_policy,
)
from pgjobs.jobs.registry import check_names, find_job, register
from pgjobs.jobs.wire import job_by_name, job_from_function, job_with_options

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Unpack

    from pgjobs.flow.options import NamedBreaker
    from pgjobs.flow.unique import Handle, IfFailed, OnConflict, UniqueBy, UniqueUntil
    from pgjobs.jobs.retry import Backoff

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")

_DEFAULTS = JobOptions()


class OptionChanges(TypedDict, total=False):
    """What `Job.options` can change; see `JobOptions` and `Flow` for the meanings and units."""

    queue: str
    priority: int
    max_attempts: int
    timeout: float | None
    delay: float
    run_at: datetime | None
    executor: Executor | None
    summary: bool
    limit_key: str | None
    cost: float | str | None
    fair_by: str | None
    sequence: str | None
    on_failure: OnFailure
    breaker: str | NamedBreaker | None
    expires: float | datetime | None
    unique: str | UniqueBy | None
    unique_until: UniqueUntil
    on_conflict: OnConflict
    after: Iterable[int | Handle] | None
    if_failed: IfFailed


class Job(Generic[P, R_co]):
    """A function with options, made by `@job`. Calling it is calling the function.

    It is pickled as its name, so a worker runs the code that it has, with the retry policy that it finds there.
    """

    function: Callable[P, R_co]
    job_options: JobOptions
    declared_name: str | None
    """The name that was given to `@job`; None: it is found as `module:qualname`."""
    aliases: tuple[str, ...]

    def __init__(
        self,
        function: Callable[P, R_co],
        job_options: JobOptions = _DEFAULTS,
        name: str | None = None,
        aliases: tuple[str, ...] = (),
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.job_options = job_options
        self.declared_name = name
        self.aliases = aliases
        self._base: Any = self
        self._instance: Any = None
        self.is_async = is_async(function)
        mark = getattr(inspect, "markcoroutinefunction", None)  # from Python 3.12 on
        if mark is not None and self.is_async:
            mark(self)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, here and now."""
        return self.function(*args, **kwargs)

    @property
    def base(self) -> Callable[P, R_co]:
        """This job without the changes of `options()`."""
        base: Callable[P, R_co] = self._base
        return base

    def options(self, **changes: Unpack[OptionChanges]) -> Job[P, R_co]:
        """Give the same job with other options, for one enqueue: `send.options(delay=60, priority=0, queue="vip")`.

        `delay` is in seconds from now, `run_at` a datetime with a time zone; they replace one another.

        Raises:
            UsageError: there is no such option, its value can not be used, or it does nothing without another one.

        """
        for name in changes:
            if name not in OptionChanges.__annotations__:
                raise _no_option("options", name)
        changed = self.job_options.changed(**changes)
        if changed.flow is not self.job_options.flow:
            _check_names(self.function, changed.flow)
            check_dependent_options(changed.flow, changes)
        return self.with_job_options(changed)

    def with_job_options(self, job_options: JobOptions) -> Job[P, R_co]:
        """Return the same job with all options replaced."""
        copy: Job[P, R_co] = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.job_options = job_options
        return copy

    @overload
    def __get__(self, instance: None, owner: type) -> Job[P, R_co]: ...
    @overload
    def __get__(self: Job[Concatenate[S, Q], R_co], instance: S, owner: type | None = None) -> Job[Q, R_co]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind a decorated method to its object, as Python does for functions."""
        if instance is None:
            return self
        bound = cast("Job[..., R_co]", self.with_job_options(self.job_options))
        bound.function = MethodType(self.function, instance)
        bound._base = bound
        bound._instance = instance
        bound.__dict__["__wrapped__"] = bound.function
        return bound

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self.base is not self:
            return job_with_options, (self._base, _differences(self.job_options, self._base.job_options))
        if self._instance is not None:
            return getattr, (self._instance, self.__name__)
        if self.declared_name is not None:
            if find_job(self.declared_name) is not self:
                raise PicklingError(f"{self.declared_name} is the name of another job now")
            return job_by_name, (self.declared_name, self.__module__)
        if "<" in self.__qualname__:  # a lambda, or made inside a function: has no name to be found by
            return job_from_function, (self.function, self.job_options)
        return self.__qualname__

    def __repr__(self) -> str:
        return f"<job {task_name(self)}>"

    if TYPE_CHECKING:
        __name__: str
        __qualname__: str
        __wrapped__: Callable[P, R_co]


Q = ParamSpec("Q")


_CHANGEABLE = frozenset({*OptionChanges.__annotations__, "flow"})


def _differences(changed: JobOptions, base: JobOptions) -> dict[str, Any]:
    names = [field.name for field in fields(JobOptions) if field.name in _CHANGEABLE]
    return {name: getattr(changed, name) for name in names if getattr(changed, name) != getattr(base, name)}


@overload
def job(function: Callable[P, R], /) -> Job[P, R]: ...
@overload
def job(
    *,
    name: str | None = ...,
    aliases: Iterable[str] = ...,
    queue: str = ...,
    priority: int = ...,
    max_attempts: int = ...,
    timeout: float | None = ...,
    executor: Executor | None = ...,
    backoff: Backoff | float | None = ...,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = ...,
    give_up_on: type[BaseException] | tuple[type[BaseException], ...] = ...,
    summary: bool = ...,
    payload: PayloadKind = ...,
    limit_key: str | None = ...,
    concurrency: int | None = ...,
    rate: str | None = ...,
    burst: float | None = ...,
    cost: float | str | None = ...,
    fair_by: str | None = ...,
    sequence: str | None = ...,
    on_failure: OnFailure = ...,
    breaker: str | NamedBreaker | None = ...,
    expires: float | datetime | None = ...,
    unique: str | UniqueBy | None = ...,
    unique_until: UniqueUntil = ...,
    on_conflict: OnConflict = ...,
) -> _Decorator: ...
def job(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    aliases: Iterable[str] = (),
    queue: str = DEFAULT_QUEUE,
    priority: int = DEFAULT_PRIORITY,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    timeout: float | None = None,
    executor: Executor | None = None,
    backoff: Backoff | float | None = None,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
    give_up_on: type[BaseException] | tuple[type[BaseException], ...] = (),
    summary: bool = True,
    payload: PayloadKind = "pickle",
    limit_key: str | None = None,
    concurrency: int | None = None,
    rate: str | None = None,
    burst: float | None = None,
    cost: float | str | None = None,
    fair_by: str | None = None,
    sequence: str | None = None,
    on_failure: OnFailure = "block",
    breaker: str | NamedBreaker | None = None,
    expires: float | datetime | None = None,
    unique: str | UniqueBy | None = None,
    unique_until: UniqueUntil = "finished",
    on_conflict: OnConflict = "skip",
    **unknown: Any,
) -> Any:
    """Give a function the options with which its jobs are enqueued and run. `@job` alone takes the defaults.

    Args:
        function: what to decorate; left out when there are options.
        name: what rows call the job, so that it is found after its function has moved; None: module:qualname.
        aliases: older names: rows that have one of them still find the job, once a worker has imported its module.
        queue: where its jobs go (up to 100 characters).
        priority: 0 (first) to 9 (last).
        max_attempts: how often a job may be tried.
        timeout: seconds that an attempt may take; None: no limit.
        executor: "thread", "async" or "process"; None: async for `async def`, thread for all else.
        backoff: seconds between attempts, or a function from the attempt (1, 2, …) to seconds.
        retry_on: the exceptions that are worth another attempt; none given: all of them.
        give_up_on: the exceptions that are not.
        summary: store a readable form of the call with the job.
        payload: how the arguments travel: "pickle", or "json", which SQL and other languages can write as well.
        limit_key: the key that limits look at. Like every key it has up to 100 characters, and is a template over the
            arguments where it has braces: "tenant:{tenant_id}".
        concurrency: so many jobs of a key at once, over all workers: short for `limit(…)`, as are the next two.
        rate: so many starts of a key per period, such as "100/min".
        burst: so many of them may come at once (None: those of one period).
        cost: tokens that a job takes from the rate of its limit (None: 1), or the parameter that says how many.
        fair_by: the parameter whose value says whose job it is, or a template: these take turns.
        sequence: a key; its jobs run one after another, in the order in which they were enqueued.
        on_failure: what a failed job does to its sequence: "block" it, "skip" to the next, or "end" it.
        breaker: a circuit breaker, or the name of one.
        expires: not worth running any more after so many seconds from when it is due, or after a datetime with a time
            zone.
        unique: a key that one job has at a time, whatever its task; or `by("args", …)`, which makes one.
        unique_until: when another one may have it: when the job has "finished" or "started", or when it has finished
            and so many seconds have passed since it was enqueued.
        on_conflict: what an enqueue does where another job has the key: "skip" it, and give the handle of that job;
            "replace" the arguments, run_at, priority and so on of that job if it has not started; or "raise".
        unknown: there is no other option; what is given here is refused.

    Raises:
        UsageError: an option that can not be used, does nothing without another one, or names a parameter that there is
            not; or `function` is not one; or another job has the name.

    """
    for option in unknown:
        raise _no_option("@job", option)
    own_name, old_names = check_names(name, aliases)
    flow = FlowOptions(
        limit_key=limit_key,
        cost=cost,
        fair_by=fair_by,
        sequence=sequence,
        on_failure=on_failure,
        breaker=breaker,  # type: ignore[arg-type]  # its name is kept
        expires=expires,
        unique=unique,
        unique_until=unique_until,
        on_conflict=on_conflict,
    )
    check_dependent_options(flow, FLOW_OPTIONS)
    declare_limit_of(flow.limit_key, concurrency=concurrency, rate=rate, burst=burst)
    job_options = JobOptions(
        queue=queue,
        priority=priority,
        max_attempts=max_attempts,
        timeout=timeout,
        executor=executor,
        summary=summary,
        payload=payload,
        policy=make_policy(backoff, retry_on, give_up_on),
        flow=NO_FLOW if flow == NO_FLOW else flow,
    )
    if is_exactly(breaker, Breaker):
        declare(cast("Breaker", breaker))
    decorator = _Decorator(job_options, own_name, old_names)
    return decorator if function is None else decorator(function)


_OF_JOB = frozenset(job.__kwdefaults__ or ())


class _Decorator:
    """`@job(…)`, waiting for its function."""

    __slots__ = ("aliases", "job_options", "name")

    def __init__(self, job_options: JobOptions, name: str | None, aliases: tuple[str, ...]) -> None:
        self.job_options, self.name, self.aliases = job_options, name, aliases

    def __call__(self, function: Callable[P, R], /) -> Job[P, R]:
        """Make the job.

        Raises:
            UsageError: it is no function, or has no parameter that an option names.

        """
        _check_function(function)
        if self.job_options.flow is not NO_FLOW:
            _check_names(function, self.job_options.flow)
        made = Job(function, self.job_options, self.name, self.aliases)
        if self.name is not None or self.aliases:
            register(made)
        return made


def _no_option(where: Literal["@job", "options"], name: str) -> UsageError:
    """Say of a name that is no option there where it belongs, or which one may have been meant."""
    own, others = _OF_JOB, frozenset(OptionChanges.__annotations__)
    if where == "options":
        own, others = others, own
    if name in others and where == "@job":
        return UsageError(f"@job({name}=…) is for one enqueue: give it to .options({name}=…).")
    if name in others:
        return UsageError(f"options({name}=…) can not be changed at enqueue: give it to @job({name}=…).")
    shown = name if name.isprintable() and len(name) <= 50 else shorten_repr(name)
    import difflib  # takes its time to load, and who makes no mistakes needs it not

    near = difflib.get_close_matches(name[:50], sorted(own | others), 1)
    meant = near[0] if near else None
    if meant is None:
        return UsageError(f"{where}({shown}=…): there is no such option; there are {', '.join(sorted(own))}.")
    elsewhere = "" if meant in own else f", which is given to {'.options()' if where == '@job' else '@job'}"
    return UsageError(f"{where}({shown}=…): there is no such option; did you mean {meant}={elsewhere}?")


def _check_function(function: Any) -> None:
    if (text := as_str(function)) is not None:
        raise UsageError(
            f"@job({shorten_repr(text)}): options are given by name, as in @job(queue={shorten_repr(text)})."
        )
    if is_exactly(function, Job):
        raise UsageError(f"{task_name(function)} is a job already: use {function.__name__}.options(…) to change it.")
    if is_exactly(function, staticmethod) or is_exactly(function, classmethod):
        raise UsageError(f"@job goes below @{type(function).__name__}, next to the function itself.")
    if is_exactly(function, type):
        raise UsageError(
            f"@job is for functions, and {function.__qualname__} is a class: enqueue the class as it is, or decorate "
            "a function that uses it."
        )
    if not callable(function):
        raise UsageError(f"@job is for functions, and {shorten_repr(function)} is not callable.")
    if not _has_name(function):
        raise UsageError(f"@job is for functions: enqueue a {type(function).__name__} as it is, without @job.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{function.__qualname__} is a generator function: calling it would run none of it.")


def _check_names(function: Any, flow: FlowOptions) -> None:
    """Refuse names that are none of the function's parameters, where these are known."""
    names = parameters_of(function).names
    if names is None:
        return
    for option, name in flow.named():
        if name not in names:
            shown = f"these are {', '.join(names[:9])}{', …' if len(names) > 9 else ''}" if names else "it has none"
            raise UsageError(
                f"{option}={shorten_repr(getattr(flow, option))} of {function.__qualname__} takes the value of "
                f"{shorten_repr(name)}, "
                f"and no parameter is called so: {shown}."
            )


def _has_name(function: object) -> bool:
    try:
        return isinstance(getattr(function, "__qualname__", None), str)
    except Exception:  # what an object does when it is asked is its own affair
        return False


def options_of(callable: Callable[..., object]) -> JobOptions:
    """Return the options of a job, also through partials and bound methods; of all else, the defaults."""
    if isinstance(callable, Job):
        return callable.job_options
    if not isinstance(callable, functools.partial | MethodType):
        return _DEFAULTS
    inner = unwrap(callable).function
    return inner.job_options if isinstance(inner, Job) else _DEFAULTS


def task_name(callable: Callable[..., object]) -> str:
    """Return a job's own name, or else `module:qualname`: of partials the function, of instances the class."""
    named: Any = unwrap(callable, methods=False).function
    if isinstance(named, Job) and named.declared_name is not None:
        return named.declared_name
    if not hasattr(named, "__qualname__"):
        named = type(named)
    module = getattr(named, "__module__", None)
    if not isinstance(module, str):  # methods of built-in types have none
        owner = getattr(named, "__objclass__", None) or getattr(named, "__self__", None)
        module = (owner if isinstance(owner, type) else type(owner)).__module__
    return f"{module}:{named.__qualname__}"


def is_async(callable: object) -> bool:
    """Say whether calling it gives a coroutine: `async def`, also behind jobs, partials, methods and `__call__`."""
    inner = unwrap(callable).function
    if isinstance(inner, Job):
        return inner.is_async
    if inspect.iscoroutinefunction(inner):
        return True
    call = None if isinstance(inner, type) else getattr(type(inner), "__call__", None)  # noqa: B004 (its kind)
    return inspect.iscoroutinefunction(call)
