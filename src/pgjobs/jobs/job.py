"""`@job`: a function with options, that still is the function; and what can be known about any callable.

Methods work too: `mailer.send` of a decorated method is a job bound to `mailer`, which travels in the payload. Under
`@staticmethod` and `@classmethod`, `@job` is the inner decorator. Classes are enqueued as they are, without `@job`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pickle import PicklingError
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from pgjobs.core.callables import lost_method, unwrap
from pgjobs.core.errors import UsageError
from pgjobs.core.validate import has_type
from pgjobs.flow.breaker import Breaker, declare
from pgjobs.flow.limits import declare_limit_of
from pgjobs.flow.options import NO_FLOW
from pgjobs.jobs.checks import (
    check_batch_function,
    check_changes,
    check_function,
    check_no_generator,
    check_parameters,
    unknown_option_error,
)
from pgjobs.jobs.options import CommonArguments, JobArguments, JobOptions, OptionChanges, make_options
from pgjobs.jobs.registry import check_names, find_job, register
from pgjobs.jobs.wire import job_by_name, job_from_function, job_with_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from pgjobs.flow.batch import Batch
    from pgjobs.jobs.batch_job import BatchJob
    from pgjobs.jobs.batch_outcomes import Outcomes
    from pgjobs.jobs.pipeline import ItemJob, Stages
    from pgjobs.jobs.transaction import C, TransactionJob

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T")
V = TypeVar("V")

_DEFAULTS = JobOptions()
_MAX_DECORATORS = 100


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
        self.is_declared = True
        """Whether it was declared so, and not changed for one enqueue."""
        self._base: Any = self
        self._instance: Any = None
        self.is_async = is_async(function)
        self.is_generator = is_generator(function)
        """Whether it yields values, which are items of a pipeline."""
        mark = getattr(inspect, "markcoroutinefunction", None)  # from Python 3.12 on
        if mark is not None and self.is_async:
            mark(self)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, here and now."""
        return self.function(*args, **kwargs)

    # What yields items comes first, then what is awaited.
    @overload
    def __rshift__(self: Job[Q, AsyncIterator[T]], stage: ItemJob[T, V], /) -> Stages[Q, AsyncIterator[T], V]: ...
    @overload
    def __rshift__(self: Job[Q, Iterator[T]], stage: ItemJob[T, V], /) -> Stages[Q, Iterator[T], V]: ...
    @overload
    def __rshift__(self: Job[Q, Awaitable[T]], stage: ItemJob[T, V], /) -> Stages[Q, Awaitable[T], V]: ...
    @overload
    def __rshift__(self: Job[Q, T], stage: ItemJob[T, V], /) -> Stages[Q, T, V]: ...
    def __rshift__(self, stage: Any, /) -> Any:
        """Pass what this job returns on to a second one: `pipeline("index", parse >> embed >> store)`."""
        from pgjobs.jobs.pipeline import Stages  # imported lazily: it imports this module

        return Stages((self,)) >> stage

    @property
    def base(self) -> Callable[P, R_co]:
        """This job without the changes of `options()`."""
        base: Callable[P, R_co] = self._base
        return base

    @property
    def in_payload(self) -> Callable[P, R_co]:
        """What the payload names: this job with the changes of `options()` for which its row has no column."""
        base: Job[P, R_co] = self._base
        own = self.job_options.result
        if own == base.job_options.result:
            return base
        return base.with_job_options(base.job_options.changed(result=own))

    def options(self, **changes: Unpack[OptionChanges]) -> Self:
        """Return the same job with other options, for one enqueue: `send.options(delay=60, priority=0, queue="vip")`.

        See `OptionChanges` for what can be changed. A value replaces the one before as a whole; None takes it away.

        Raises:
            UsageError: there is no such option, its value cannot be used, or it does nothing without another one.

        """
        for name in changes:
            if name not in OptionChanges.__annotations__:
                raise unknown_option_error("options", name)
        changed = self.job_options.changed(**changes)
        if changed.flow is not self.job_options.flow:
            check_parameters(self if changed.transaction else self.function, changed.flow)
            check_changes(changed.flow, changes)
        return self.with_job_options(changed)

    def with_job_options(self, job_options: JobOptions) -> Self:
        """Return the same job with all options replaced."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.job_options, copy.is_declared = job_options, False
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
            found = getattr(self._instance, self.__name__, None)
            if not isinstance(found, Job) or found.function != self.function:
                raise PicklingError(lost_method(self._instance, self.__name__))
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

    if not TYPE_CHECKING:  # or every name would be right to a type checker

        def __getattr__(self, name: str) -> Any:
            """Raise the error for a name that is missing; for a method of another queue, with what to call here."""
            hint = None
            if not name.startswith("_"):
                from pgjobs.jobs.other_names import method_hint  # imported lazily: only wrong names need it

                hint = method_hint(name, self.__dict__.get("__name__", "function"))
            raise AttributeError(
                f"'Job' object has no attribute {name!r}{'' if hint is None else f': {hint}'}", name=name, obj=self
            )

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
def job(*, transaction: Literal[False] = ..., batch: None = ..., **options: Unpack[CommonArguments]) -> _Decorator: ...
@overload
def job(
    *, transaction: Literal[True], batch: None = ..., **options: Unpack[CommonArguments]
) -> _TransactionDecorator: ...
@overload
def job(
    *, transaction: Literal[True], batch: Batch, **options: Unpack[CommonArguments]
) -> _TransactionBatchDecorator: ...
@overload
def job(*, batch: Batch, transaction: Literal[False] = ..., **options: Unpack[CommonArguments]) -> _BatchDecorator: ...
def job(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a job, with the options with which its jobs are enqueued and run: `@job(queue="mail")`.

    `@job` alone takes the defaults. See `JobArguments` for the options.

    Raises:
        UsageError: there is no such option, its value cannot be used, or it names a parameter that the function does
            not have; or `function` is not one; or another job has the name.

    """
    for option in options:
        if option not in JobArguments.__annotations__:
            raise unknown_option_error("@job", option)
    name, aliases = check_names(options.pop("name", None), options.pop("aliases", ()))
    job_options = make_options(cast("JobArguments", options))
    limit = job_options.flow.limit
    if limit is not None and limit.settings is not None:
        declare_limit_of(limit.key, limit.settings)
    if has_type(options.get("breaker"), Breaker):
        declare(options["breaker"])
    decorator = _Decorator(job_options, name, aliases)
    return decorator if function is None else decorator(function)


class _Decorator:
    """`@job(…)`, waiting for its function."""

    __slots__ = ("aliases", "job_options", "name")

    def __init__(self, job_options: JobOptions, name: str | None, aliases: tuple[str, ...]) -> None:
        self.job_options, self.name, self.aliases = job_options, name, aliases

    def __call__(self, function: Callable[P, R], /) -> Job[P, R]:
        """Make the job.

        Raises:
            UsageError: it is not a function, or does not have a parameter that an option names.

        """
        if has_type(function, Job):
            raise UsageError(
                f"{task_name(function)} is a job already: use {function.__name__}.options(…) to change it."
            )
        if job_inside(function) is not None:
            raise UsageError(
                f"{function.__name__} has @job twice, with a decorator between: take the inner one away, whose options "
                "would be lost."
            )
        check_function(function)
        if self.job_options.flow.batch is not None or self.job_options.transaction:
            check_no_generator(function)
        made = cast("Job[P, R]", job_class(self.job_options)(function, self.job_options, self.name, self.aliases))
        if self.job_options.flow.batch is not None:
            check_batch_function(made if self.job_options.transaction else function)
        if self.job_options.flow is not NO_FLOW:
            check_parameters(made if self.job_options.transaction else function, self.job_options.flow)
        if self.name is not None or self.aliases:
            register(made)
        return made


if TYPE_CHECKING:

    class _TransactionDecorator:
        def __call__(self, function: Callable[Concatenate[C, P], R], /) -> TransactionJob[C, P, R]: ...

    class _TransactionBatchDecorator:
        def __call__(self, function: Callable[[C, list[T]], V], /) -> BatchJob[T, None, V]: ...

    class _BatchDecorator:
        # A function that returns a list may keep a result for each job. What is more exact comes first.
        @overload
        def __call__(  # type: ignore[overload-overlap]  # the first that fits counts, in both of them
            self, function: Callable[[list[T]], Awaitable[list[R]]], /
        ) -> BatchJob[T, R, Awaitable[list[R]]]: ...
        @overload
        def __call__(  # type: ignore[overload-overlap]  # the same
            self, function: Callable[[list[T]], Awaitable[list[R] | Outcomes]], /
        ) -> BatchJob[T, R, Awaitable[list[R] | Outcomes]]: ...
        @overload
        def __call__(self, function: Callable[[list[T]], Awaitable[V]], /) -> BatchJob[T, None, Awaitable[V]]: ...
        @overload
        def __call__(  # type: ignore[overload-overlap]  # the same
            self, function: Callable[[list[T]], list[R]], /
        ) -> BatchJob[T, R, list[R]]: ...
        @overload
        def __call__(  # type: ignore[overload-overlap]  # the same
            self, function: Callable[[list[T]], list[R] | Outcomes], /
        ) -> BatchJob[T, R, list[R] | Outcomes]: ...
        @overload
        def __call__(self, function: Callable[[list[T]], V], /) -> BatchJob[T, None, V]: ...
        def __call__(self, function: Any, /) -> Any: ...


def job_class(options: JobOptions) -> type[Job[..., Any]]:
    """Return the class of jobs with these options."""
    # Imported lazily: they import this module, and few jobs need them.
    if options.transaction and options.flow.batch is not None:
        from pgjobs.jobs.transaction_batch import TransactionBatchJob

        return TransactionBatchJob
    if options.transaction:
        from pgjobs.jobs.transaction import TransactionJob

        return TransactionJob
    if options.flow.batch is not None:
        from pgjobs.jobs.batch_job import BatchJob

        return BatchJob
    return Job


def options_of(callable: Callable[..., object]) -> JobOptions:
    """Return the options of a job, also through partials, bound methods and decorators; of all else, the defaults."""
    if isinstance(callable, Job):
        return callable.job_options
    inner = job_inside(unwrap(callable).function)
    return _DEFAULTS if inner is None else inner.job_options


def job_inside(function: Any) -> Job[..., Any] | None:
    """Return the job that a function is, or that decorators above `@job` have around them (functools.wraps)."""
    for _ in range(_MAX_DECORATORS):
        if has_type(function, Job):
            return cast("Job[..., Any]", function)
        try:
            function = function.__wrapped__
        except Exception:  # it has not got one, or its attributes raise
            return None
    return None


def declared_options(callable: Callable[..., object]) -> JobOptions:
    """Return the options that `@job` was given, without the changes for one enqueue; of all else, the defaults."""
    found = callable if isinstance(callable, Job) else job_inside(unwrap(callable).function)
    return _DEFAULTS if found is None else found._base.job_options


def task_name(callable: Callable[..., object]) -> str:
    """Return a job's own name, or else `module:qualname`: of partials the function, of instances the class."""
    named: Any = unwrap(callable, methods=False).function
    job = named.__func__ if isinstance(named, MethodType) else named  # under @classmethod, from Python 3.13 on
    if isinstance(job, Job) and job.declared_name is not None:
        return job.declared_name
    if not hasattr(named, "__qualname__"):
        named = type(named)
    module = getattr(named, "__module__", None)
    if not isinstance(module, str):  # methods of built-in types have none
        owner = getattr(named, "__objclass__", None) or getattr(named, "__self__", None)
        module = (owner if isinstance(owner, type) else type(owner)).__module__
    return f"{module}:{named.__qualname__}"


J = TypeVar("J", bound=Job[..., Any])


def is_lasting(function: Callable[..., Any]) -> bool:
    """Return True if it is a name of its module: each payload that names it is loaded as this object."""
    inner = function.function if type(function) is Job else function
    return type(inner) is FunctionType and inner.__globals__.get(inner.__qualname__) is function


def like(job: J, attributes: Mapping[str, Any]) -> J:
    """Return a copy of a job whose function is a method of its own, without a look at what that is."""
    copy = object.__new__(type(job))
    method: Any = job.function
    values = copy.__dict__
    values.update(job.__dict__)
    values.update(attributes)
    values["function"] = values["__wrapped__"] = MethodType(method.__func__, copy)
    return copy


def is_generator(function: object) -> bool:
    """Return True if calling it gives an iterator over what it yields, sync or async."""
    inner = unwrap(function).function if callable(function) else function
    return inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)


def is_async(callable: object) -> bool:
    """Return True if calling it gives a coroutine: `async def`, also behind jobs, partials, methods and `__call__`."""
    if isinstance(callable, Job):
        return callable.is_async
    if type(callable) is FunctionType and not callable.__dict__:  # no mark and no wrapper: its code says it
        return bool(callable.__code__.co_flags & inspect.CO_COROUTINE)
    inner = unwrap(callable).function
    if isinstance(inner, Job):
        return inner.is_async
    if inspect.iscoroutinefunction(inner):
        return True
    call = None if isinstance(inner, type) else getattr(type(inner), "__call__", None)  # noqa: B004 (its kind)
    return inspect.iscoroutinefunction(call)
