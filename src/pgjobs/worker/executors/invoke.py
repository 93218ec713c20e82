"""From a claimed job to a call, and from the call's end to an outcome. Shared by all executors."""

from __future__ import annotations

from dataclasses import replace
from inspect import CO_COROUTINE
from types import FunctionType
from typing import TYPE_CHECKING, Any

from pgjobs.core.config import settings
from pgjobs.core.error_text import leaves
from pgjobs.core.errors import HookError, PayloadError, ResultError, SignatureError
from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE, JobTimeout
from pgjobs.flow.breaker import declared_breakers
from pgjobs.hooks.kinds import around_hooks
from pgjobs.job_results.encode import kept_result
from pgjobs.jobs.batch_job import BatchJob
from pgjobs.jobs.batch_outcomes import Outcomes
from pgjobs.jobs.context import current
from pgjobs.jobs.job import Job, is_async, options_of
from pgjobs.jobs.options import JobOptions
from pgjobs.jobs.outcome import (
    COMPLETED,
    COMPLETED_STEP,
    INTERRUPTED,
    Completed,
    Divided,
    ErrorKind,
    Failed,
    Outcome,
    Retried,
    Several,
)
from pgjobs.jobs.retry import RetryPolicy, after_exception, after_loss
from pgjobs.jobs.transaction import TransactionJob
from pgjobs.jobs.transaction_batch import BATCH_JOBS, IN_TRANSACTION
from pgjobs.payload.fast_pickle import rest_loader
from pgjobs.payload.pickling import Call, load
from pgjobs.payload.signing import signed_fields, verify
from pgjobs.payload.stage import StageJob
from pgjobs.payload.step import StepJob
from pgjobs.worker.executors.around import Inside, run_inside
from pgjobs.worker.executors.awaiting import KeptLoop, Rest, must_be_awaited
from pgjobs.worker.executors.batches import (
    BatchCall,
    as_batch,
    completed_batch,
    failed_batch,
    lost_batch,
    open_batch,
    refused_batch,
)
from pgjobs.worker.executors.in_transaction import in_transaction
from pgjobs.worker.executors.own_code import run
from pgjobs.worker.local.claimed_batch import ClaimedBatch, batch_of
from pgjobs.worker.local.claimed_job import ClaimedJob

if TYPE_CHECKING:
    from collections.abc import Callable


def open_payload(job: ClaimedJob) -> Call:
    """Check the job's signature, if this process has a key, and load its payload.

    Raises:
        PayloadError: it cannot be loaded, or must not.

    """
    if type(job) is ClaimedBatch:
        return open_batch(job, _Opener(), refused)
    call = open_alone(job)
    return as_batch(call) if type(call.callable) in BATCH_JOBS else call


def open_alone(job: ClaimedJob) -> Call:
    """Do the same for one job, whether its function is for batches or not.

    Raises:
        PayloadError: it cannot be loaded, or must not.

    """
    current_settings = settings()  # once for both: this is done for each job
    if current_settings.signing_keys:
        _verify(job, current_settings.signing_keys)
    return load(job.payload, job.task, current_settings.allow, pickles=current_settings.payload != "json")


class _Opener:
    """Does the same for each job of a batch: the settings, and what they call, are looked up once for all of them."""

    def __init__(self) -> None:
        current_settings = settings()
        self._keys, self._allow = current_settings.signing_keys, current_settings.allow
        self._pickles = current_settings.payload != "json"

    def open_one(self, job: ClaimedJob) -> Call:
        if self._keys:
            _verify(job, self._keys)
        return load(job.payload, job.task, self._allow, pickles=self._pickles)

    def like(self, call: Call) -> Callable[[ClaimedJob], tuple[None, tuple[Any, ...], dict[str, Any]] | None]:
        keys = self._keys
        if self._allow is not None or not self._pickles:
            return lambda job: None  # what it calls has to be looked up in the list, for each of them
        load_rest = rest_loader(call.callable)

        def load_arguments(job: ClaimedJob) -> tuple[None, tuple[Any, ...], dict[str, Any]] | None:
            if keys:
                _verify(job, keys)
            try:
                return load_rest(job.payload)
            except RAISED_FROM_OUTSIDE:
                raise
            except BaseException:
                return None  # the whole is loaded then, which says why it cannot be

        return load_arguments


def check_signature(job: ClaimedJob) -> None:
    """Check the job's signature, if this worker has a key, without a look at the payload.

    For a job that a child process opens: the child has run other jobs, which may have changed its keys.

    Raises:
        SignatureError: it is unsigned, or wrongly signed.

    """
    keys = settings().signing_keys
    if not keys:
        return
    if not isinstance(job, ClaimedBatch):
        _verify(job, keys)
        return
    for place, member in job.called():
        try:
            _verify(member, keys)
        except SignatureError as error:
            job.ended[place], last = refused(member, error), error
    if not job.called():
        raise last


def _verify(job: ClaimedJob, keys: tuple[bytes, ...]) -> None:
    verify(keys, job.signature, signed_fields(job), job.payload)


def call_now(job: ClaimedJob, call: Call) -> Outcome | Rest:
    """Run a call in this thread, and return its outcome, or what is left to be awaited.

    To be called in a clean context, the job's own. A copy of another one would not do: what modules set at their import
    would be in it, and the context of `decimal` would be the same object.
    """
    current.set(job)
    job.function = call.callable
    try:
        if around_hooks.hooks:
            result = run_inside(job, call)
        else:
            result = run(call) if type(call.callable) not in IN_TRANSACTION else in_transaction(job, call)
        if result is None or not must_be_awaited(result):
            return completed(job, call, result)
    except BaseException as error:
        return outcome_of(job, error, call.callable)
    return Rest(call, result)


def completed(job: ClaimedJob, call: Call, result: object) -> Outcome:
    """Return the outcome of a call that returned, with what it returned if the job keeps that."""
    function = call.callable
    if type(function) is Job or type(function) is TransactionJob:
        # As in `runs_on_loop`.
        options = function.job_options  # pyright: ignore[reportFunctionMemberAccess]
    elif type(function) is FunctionType and not function.__dict__:
        return COMPLETED
    elif isinstance(call, BatchCall) or isinstance(job, ClaimedBatch):
        if isinstance(job, ClaimedBatch):
            return completed_batch(job, call, result, lambda one, error: _of_one(one, error, call, result))
        alone = batch_of([job])
        return completed_batch(alone, call, result, lambda one, error: _of_one(one, error, call, result)).outcomes[0]
    else:
        options = options_of(function)
        if type(function) is StepJob:
            return _completed_step(job, function, result, options)
        if type(function) is StageJob:
            return _completed_stage(job, function, result, options)
    if options.result is None or job.completing:  # or it has ended before it returned
        return COMPLETED
    try:
        return Completed(kept_result(job.task, result, options))
    except ResultError as error:
        return outcome_of(job, error)


def _of_one(job: ClaimedJob, error: BaseException | None, call: Call, result: object) -> Outcome:
    """Return the outcome of one job whose call has returned: what it has done cannot be done again."""
    return completed(job, call, result) if error is None else outcome_of(job, error, _never_again)


def _completed_step(job: ClaimedJob, step: StepJob, result: object, options: JobOptions) -> Outcome:
    """Return the outcome of a step of a workflow, with what it has added. A callback is a job as any other."""
    if job.completing:
        return COMPLETED
    try:
        kept = kept_result(job.task, result, options)
        if not step.head.get("step"):
            return COMPLETED if kept is None else Completed(kept)
        grown = None if step.grown is None else step.grown.encoded()
    except BaseException as error:
        return outcome_of(job, error, step)
    return COMPLETED_STEP if kept is None and grown is None else Completed(kept, is_step=True, grown=grown)


def _completed_stage(job: ClaimedJob, stage: StageJob, result: object, options: JobOptions) -> Outcome:
    """Return the outcome of an item of a pipeline, with what it has led to."""
    try:
        kept = kept_result(job.task, result, options)
    except ResultError as error:
        return outcome_of(job, error)
    return COMPLETED if kept is None and stage.items is None else Completed(kept, items=stage.items)


def await_here(job: ClaimedJob, rest: Rest, loop: KeptLoop, seconds: float | None) -> Outcome:
    """Await what a call returned on the loop of this thread, for `seconds` at most, and return its outcome."""
    try:
        assert rest.awaitable is not None  # noqa: S101 (for mypy)
        if isinstance(rest.awaitable, Inside):
            result = rest.awaitable.run_on(loop, seconds)
        else:
            result = loop.run(rest.awaitable, seconds)
        return completed(job, rest.call, result)
    except BaseException as error:
        return outcome_of(job, error, rest.call.callable)


def outcome_of(job: ClaimedJob, error: BaseException, callable: Any = None) -> Outcome:
    """Decide the outcome of an exception, by the retry policy of the job that raised it. This raises nothing."""
    try:
        return _outcome_of(job, error, callable)
    except BaseException as second:  # an exception whose class lies about itself
        line = f"{_name(error)}, and looking at it raised {_name(second)}"
        if isinstance(job, ClaimedBatch):
            return lost_batch(job, lambda one: _unreadable(one, line), line)
        return _unreadable(job, line)


def _outcome_of(job: ClaimedJob, error: BaseException, callable: Any) -> Outcome:
    if isinstance(job, ClaimedBatch):
        return failed_batch(job, error, lambda one, error: outcome_of(one, error, callable))
    if isinstance(error, Outcomes) and isinstance(callable, BatchJob):
        return completed(job, as_batch(Call(callable, (None,), {})), error)
    attempt, most = job.budget()
    for part in leaves(error):
        if isinstance(part, JobTimeout) and not part.args:
            part.args = (f"ran longer than its {job.timeout or 0:g} s",)
    policy = options_of(callable).policy if callable is not None else RetryPolicy()
    if isinstance(error, HookError):  # which exceptions of the job are worth another attempt does not matter
        policy = RetryPolicy(policy.backoff)
    elif isinstance(error, ResultError):  # it has done its work, and would only do it again
        policy = _NEVER_AGAIN
    outcome = after_exception(error, attempt, most, policy)
    if isinstance(outcome, Retried | Failed):
        job.exception = error
    return outcome if job.breaker is None else _with_breaker(outcome, error, job.breaker)


def _unreadable(job: ClaimedJob, line: str) -> Outcome:
    return after_loss(line, *job.budget(), kind=ErrorKind.EXCEPTION)


def handed_back(outcome: Outcome) -> Outcome:
    """Return the outcome of a coroutine that was cancelled because the grace is over: its failure is not its own."""
    if isinstance(outcome, Several):
        return Several(tuple(map(handed_back, outcome.outcomes)))
    return INTERRUPTED if isinstance(outcome, Retried | Failed | Divided) else outcome


def _with_breaker(outcome: Outcome, error: BaseException, name: str) -> Outcome:
    """Add to a failure whether the dependency behind the breaker caused it.

    A timeout always counts: the dependency did not answer in time. A payload that cannot be loaded says nothing, and
    neither does a hook that fails. What cannot be kept was made of its answer.
    """
    if not isinstance(outcome, Retried | Failed) or isinstance(error, PayloadError | HookError):
        return outcome
    if isinstance(error, ResultError):
        return replace(outcome, answered=True)
    breaker = declared_breakers().get(name)
    blamed = breaker is None or any(
        isinstance(part, JobTimeout) or breaker.is_failure(part) for part in (error, *leaves(error))
    )
    return replace(outcome, answered=not blamed)


def _name(error: BaseException) -> str:
    name: str = type.__dict__["__name__"].__get__(type(error))  # past what its metaclass may answer
    return name


def refused(job: ClaimedJob, error: PayloadError) -> Outcome:
    """Decide the outcome of a payload that cannot be loaded. A deployment may be under way, so it is retried.

    A job that is unsigned, wrongly signed or not allowed stays so: it fails at once.
    """
    from pgjobs.core.errors import NotAllowedError

    if isinstance(job, ClaimedBatch):
        return refused_batch(job, error)
    permanent = isinstance(error, SignatureError | NotAllowedError)
    return outcome_of(job, error, _never_again if permanent else None)


_NEVER_AGAIN = RetryPolicy(give_up_on=(BaseException,))
_never_again: Any = Job(lambda: None, options_of(len).changed(policy=_NEVER_AGAIN))


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
