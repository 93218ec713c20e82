"""A batch as a call, and the outcomes of its jobs. Executors get here through `invoke.py`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pgjobs.core.error_text import leaves
from pgjobs.core.errors import HookError, PayloadError, ResultError, UsageError
from pgjobs.core.text import describe
from pgjobs.job_results.encode import kept_result
from pgjobs.jobs.batch_job import BatchJob
from pgjobs.jobs.batch_outcomes import Outcomes, outcomes_of
from pgjobs.jobs.job import options_of
from pgjobs.jobs.outcome import (
    CANCELLED_ON_REQUEST,
    COMPLETED,
    Cancel,
    Completed,
    Divided,
    Failed,
    Outcome,
    Retried,
    Retry,
    Several,
    Snooze,
    Snoozed,
)
from pgjobs.jobs.retry import RetryPolicy
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors.shortages import is_shortage

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgjobs.jobs.options import JobOptions
    from pgjobs.worker.local.claimed_batch import ClaimedBatch
    from pgjobs.worker.local.claimed_job import ClaimedJob

log = logging.getLogger("pgjobs.executor")
_Arguments: TypeAlias = tuple[None, tuple[Any, ...], dict[str, Any]]
_FOR_ALL = (Snooze, Retry, Cancel)


class BatchCall(Call):
    """A call with a list: the callable gets what the single calls would have had. `options`: of each of these.

    `functions`: what the single calls would have called; `keeps_results`: one of them keeps what it returns.
    """

    __slots__ = ("keeps_results", "options", "policy")

    def __init__(self, callable: BatchJob[Any, Any, Any], items: list[Any], functions: list[Any]) -> None:
        super().__init__(callable, (items,), {})
        if len(set(map(id, functions))) == 1:  # nearly always: none was enqueued with other options
            options = options_of(functions[0])
            self.options: list[JobOptions] = [options] * len(functions)
            self.keeps_results = options.result is not None
        else:
            self.options = [options_of(function) for function in functions]
            self.keeps_results = any(options.result is not None for options in self.options)
        self.policy = callable.job_options.policy


class _OneByOneError(PayloadError):
    """The jobs of a batch do not run together: their function takes no list here."""


def as_batch(call: Call) -> Call:
    """Return the call of a job that is in no batch: its function gets a list with one item."""
    return BatchCall(call.callable, [_item(call.args, call.kwargs)], [call.callable])  # type: ignore[arg-type]  # the caller has looked


def _item(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else next(iter(kwargs.values()), None)


class Opener(Protocol):
    """Loads the payloads of a batch."""

    def open_one(self, job: ClaimedJob) -> Call:
        """Check the signature of a job, and load its payload.

        Raises:
            PayloadError: it cannot be loaded, or must not.

        """

    def like(self, call: Call) -> Callable[[ClaimedJob], _Arguments | None]:
        """Return what loads the arguments alone, of jobs that call the same. It returns None for others.

        Raises (what it returns):
            PayloadError: the job is unsigned, or wrongly signed.

        """


def open_batch(batch: ClaimedBatch, opener: Opener, refuse: Any) -> Call:
    """Load the payloads of a batch. What cannot be loaded is left out, with the outcome that `refuse` makes of it.

    Raises:
        PayloadError: nothing is left, or what is left does not run together.

    """
    items: list[Any] = []
    functions: list[Any] = []
    first: Call | None = None
    last: PayloadError | None = None
    open_one = opener.open_one
    load_rest: Callable[[ClaimedJob], _Arguments | None] = _nothing
    for place, job in batch.called():
        try:
            rest = load_rest(job)
            if rest is not None and first is not None:
                items.append(_item(rest[1], rest[2]))
                functions.append(first.callable)
                continue
            call = open_one(job)
        except PayloadError as error:
            if is_shortage(error.__cause__):
                raise
            batch.ended[place] = refuse(job, error)
            last = error
            continue
        if first is None:
            first, load_rest = call, opener.like(call)
        items.append(_item(call.args, call.kwargs))
        functions.append(call.callable)
    if first is None:
        raise last or PayloadError("the batch is empty")
    base = getattr(first.callable, "base", None)
    if len(items) == 1 and not isinstance(base, BatchJob):
        return first
    if not isinstance(base, BatchJob) or any(
        getattr(function, "base", None) is not base for function in {id(each): each for each in functions}.values()
    ):
        raise _OneByOneError("its jobs do not run together here")
    batch.call = made = BatchCall(base, items, functions)
    return made


def _nothing(job: ClaimedJob) -> _Arguments | None:
    return None


def with_outcomes(batch: ClaimedBatch, outcomes: list[Outcome]) -> Several:
    """Return the outcomes of all jobs, from those of the ones that were part of the call. Its search learns of them."""
    search, plainly = batch.search, outcomes.count(COMPLETED)
    if plainly == len(outcomes):
        search.completed += plainly
    else:
        search.completed += sum(isinstance(outcome, Completed) for outcome in outcomes)
        search.failed += len(outcomes) == 1 and isinstance(outcomes[0], Retried | Failed)
    if not batch.ended:
        return Several(tuple(outcomes))
    left = iter(outcomes)
    return Several(
        tuple(batch.ended[place] if place in batch.ended else next(left) for place in range(len(batch.members)))
    )


def refused_batch(batch: ClaimedBatch, error: PayloadError) -> Several:
    """Return the outcomes where no payload could be loaded, or where the jobs do not run together."""
    called = batch.called()
    return with_outcomes(batch, [Divided(str(error), parts=len(called))] * len(called))


def completed_batch(batch: ClaimedBatch, call: Call, result: object, one: Callable[..., Outcome]) -> Several:
    """Return the outcomes of a call that returned. `one`: makes that of an error of a single job."""
    jobs = batch.together
    if not isinstance(call, BatchCall):  # one job whose function is not for batches here
        return with_outcomes(batch, [one(jobs[0], None)])
    said = result if isinstance(result, Outcomes) else None
    values = said.results if said is not None else result
    try:
        outcomes: list[Outcome] = [COMPLETED] * len(jobs)
        if said is not None:
            ids, budgets = [job.id for job in jobs], [job.budget() for job in jobs]
            outcomes = outcomes_of(said, ids, budgets, call.policy)
        if not call.keeps_results:
            return with_outcomes(batch, outcomes)
        _check_results(values, len(jobs))
    except UsageError as error:
        return with_outcomes(batch, [one(job, error) for job in jobs])
    for at, (job, options) in enumerate(zip(jobs, call.options, strict=True)):
        if options.result is not None and outcomes[at] is COMPLETED:
            outcomes[at] = _with_result(job, values[at], options, one)  # type: ignore[index]  # it was checked
    return with_outcomes(batch, outcomes)


def _check_results(values: object, jobs: int) -> None:
    if not isinstance(values, list | tuple):
        raise UsageError(
            f"the batch returned a {type(values).__name__}, and results are kept: return a list with one for each item."
        )
    if len(values) != jobs:
        raise UsageError(f"the batch returned {len(values):,} results for {jobs:,} items: return one for each of them.")


def _with_result(job: ClaimedJob, value: object, options: JobOptions, one: Callable[..., Outcome]) -> Outcome:
    assert options.result is not None  # noqa: S101 (the caller has looked)
    try:
        kept = kept_result(job.task, value, options)
    except ResultError as error:
        return one(job, error)
    return Completed(kept)


def failed_batch(batch: ClaimedBatch, error: BaseException, one: Callable[..., Outcome]) -> Several:
    """Return the outcomes of a call that raised. `one`: see `completed_batch`."""
    if isinstance(error, Outcomes) and batch.call is not None:
        return completed_batch(batch, batch.call, error, one)
    jobs = batch.together
    outcomes: list[Outcome]
    if any(job.cancelled for job in jobs):  # that is why it raised, as far as is known
        rest = Divided("a job of the batch was cancelled", parts=1)
        outcomes = [CANCELLED_ON_REQUEST if job.cancelled else rest for job in jobs]
    elif _is_for_all(error):
        outcomes = [one(job, error) for job in jobs]
    elif batch.search.is_in_vain:
        policy = RetryPolicy() if batch.call is None else batch.call.policy
        # As late as a retry, but the attempt does not count.
        outcomes = [Snoozed(policy.delay(job.budget()[0])) for job in jobs]
        log.warning("%d jobs of a batch of %s are put back: each that ran alone has failed", len(jobs), batch.task)
    elif len(jobs) == 1:
        outcomes = [one(jobs[0], error)]
    else:
        outcomes = [Divided(describe(error)[0])] * len(jobs)
    return with_outcomes(batch, outcomes)


def _is_for_all(error: BaseException) -> bool:
    return isinstance(error, HookError) or all(isinstance(part, _FOR_ALL) for part in leaves(error))


def lost_batch(batch: ClaimedBatch, alone: Callable[[ClaimedJob], Outcome], error: str) -> Several:
    """Return the outcomes where the process that ran the call died."""
    jobs = batch.together
    if any(job.cancelled for job in jobs):
        rest: Outcome = Divided("a job of the batch was cancelled", parts=1)
        return with_outcomes(batch, [CANCELLED_ON_REQUEST if job.cancelled else rest for job in jobs])
    if len(jobs) == 1:
        return with_outcomes(batch, [alone(jobs[0])])
    return with_outcomes(batch, [Divided(error)] * len(jobs))
