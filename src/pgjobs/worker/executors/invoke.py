"""From a claimed job to a call, and from the call's end to an outcome. Shared by all executors."""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import copy_context
from dataclasses import replace
from inspect import CO_COROUTINE
from types import CoroutineType, FunctionType
from typing import Any

from pgjobs.core.config import settings
from pgjobs.core.errors import PayloadError
from pgjobs.core.interrupts import JobTimeout
from pgjobs.flow.breaker import declared_breakers
from pgjobs.jobs.context import current
from pgjobs.jobs.job import Job, is_async, options_of
from pgjobs.jobs.outcome import COMPLETED, ErrorKind, Failed, Outcome, Retried
from pgjobs.jobs.retry import RetryPolicy, after_exception, after_loss
from pgjobs.payload.pickling import Call, load
from pgjobs.payload.signing import signed_fields, verify
from pgjobs.worker.local.claimed_job import ClaimedJob


def open_payload(job: ClaimedJob) -> Call:
    """Check the job's signature, if this process has a key, and load its payload.

    Raises:
        PayloadError: it cannot be loaded, or must not.

    """
    current_settings = settings()  # once for both: this is done for each job
    if current_settings.signing_keys:
        _verify(job, current_settings.signing_keys)
    return load(job.payload, job.task, current_settings.allow, pickles=current_settings.payload != "json")


def check_signature(job: ClaimedJob) -> None:
    """Check the job's signature, if this worker has a key, without a look at the payload.

    For a job that a child process opens: the child has run other jobs, which may have changed its keys.

    Raises:
        SignatureError: it is unsigned, or wrongly signed.

    """
    keys = settings().signing_keys
    if keys:
        _verify(job, keys)


def _verify(job: ClaimedJob, keys: tuple[bytes, ...]) -> None:
    verify(keys, job.signature, signed_fields(job), job.payload)


def call_now(job: ClaimedJob, call: Call) -> Outcome:
    """Run a call in this thread, in a context of its own, and return its outcome."""
    try:
        result = copy_context().run(_bound, job, call)
    except BaseException as error:
        return outcome_of(job, error, call.callable)
    if type(result) is CoroutineType:
        return _finish(job, call, result)
    return COMPLETED


def _bound(job: ClaimedJob, call: Call) -> Any:
    current.set(job)
    return call.callable(*call.args, **call.kwargs)


def _finish(job: ClaimedJob, call: Call, coroutine: CoroutineType[Any, Any, Any]) -> Outcome:
    """Run a coroutine that a plain function returned, or that is to run outside of the event loop."""
    import asyncio

    async def main() -> None:
        current.set(job)
        await in_time(coroutine, job.timeout)

    try:
        asyncio.run(main())
    except BaseException as error:
        return outcome_of(job, error, call.callable)
    return COMPLETED


async def in_time(coroutine: Awaitable[object], seconds: float | None) -> None:
    """Await a coroutine, and cancel it after `seconds` (None: never).

    Raises:
        JobTimeout: it was cancelled.

    """
    import asyncio

    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            await coroutine
    except TimeoutError as error:
        if timeout.expired():
            late = JobTimeout(f"ran longer than its {seconds or 0:g} s")
            raise late.with_traceback(error.__traceback__) from error.__cause__
        raise


def outcome_of(job: ClaimedJob, error: BaseException, callable: Any = None) -> Outcome:
    """Decide the outcome of an exception, by the retry policy of the job that raised it."""
    attempt, most = job.budget()
    try:
        if isinstance(error, JobTimeout) and not error.args:
            error.args = (f"ran longer than its {job.timeout or 0:g} s",)
        policy = options_of(callable).policy if callable is not None else RetryPolicy()
        outcome = after_exception(error, attempt, most, policy)
        if isinstance(outcome, Retried | Failed):
            job.exception = error
        return outcome if job.breaker is None else _with_breaker(outcome, error, job.breaker)
    except BaseException as second:  # an exception whose class lies about itself
        line = f"{_name(error)}, and looking at it raised {_name(second)}"
        return after_loss(line, attempt, most, kind=ErrorKind.EXCEPTION)


def _with_breaker(outcome: Outcome, error: BaseException, name: str) -> Outcome:
    """Add to a failure whether the dependency behind the breaker caused it.

    A timeout always counts: the dependency did not answer in time. A payload that cannot be loaded says nothing.
    """
    if not isinstance(outcome, Retried | Failed) or isinstance(error, PayloadError):
        return outcome
    breaker = declared_breakers().get(name)
    blamed = breaker is None or isinstance(error, JobTimeout) or breaker.is_failure(error)
    return replace(outcome, answered=not blamed)


def _name(error: BaseException) -> str:
    name: str = type.__dict__["__name__"].__get__(type(error))  # past what its metaclass may answer
    return name


def refused(job: ClaimedJob, error: PayloadError) -> Outcome:
    """Decide the outcome of a payload that cannot be loaded. A deployment may be under way, so it is retried.

    A job that is unsigned, wrongly signed or not allowed stays so: it fails at once.
    """
    from pgjobs.core.errors import NotAllowedError, SignatureError

    permanent = isinstance(error, SignatureError | NotAllowedError)
    return outcome_of(job, error, _NEVER_AGAIN if permanent else None)


def _never_again() -> None: ...


_NEVER_AGAIN: Any = Job(_never_again, options_of(_never_again).changed(policy=RetryPolicy(give_up_on=(BaseException,))))


def runs_on_loop(job: ClaimedJob, call: Call) -> bool:
    """Return True if the call belongs on the event loop: it is async, and no other executor was asked for."""
    if job.executor == "thread":
        return False
    function = call.callable
    if type(function) is Job:
        # It remembers. pyright takes a Job for a function here, and a cast would cost a call for each job.
        return function.is_async  # pyright: ignore[reportFunctionMemberAccess]
    if type(function) is FunctionType and not function.__dict__:  # no mark and no wrapper: its code says it
        return bool(function.__code__.co_flags & CO_COROUTINE)
    return is_async(function)
