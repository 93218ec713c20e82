"""`complete`: the job ends in its own transaction, so what it has written and its end are committed together.

The worker does not take the job's word for it. When the function has returned or raised, the acknowledger looks at the
row: if it has gone, the transaction was committed, and the job has completed. If it is still there, it was not.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, overload

from pgjobs.core.errors import StaleClaimError, UsageError
from pgjobs.db.adapters.detect import runner_of
from pgjobs.db.adapters.errors import sqlstate_of
from pgjobs.effects.own_transaction import STALE, refuse_autocommit, refuse_autocommit_async
from pgjobs.job_results.encode import kept_result, signature_of
from pgjobs.jobs.context import current
from pgjobs.jobs.job import declared_options, options_of
from pgjobs.jobs.transaction import TransactionJob
from pgjobs.jobs.transaction_batch import TransactionBatchJob

if TYPE_CHECKING:
    from pgjobs.core.callers import AsyncCaller, SyncCaller
    from pgjobs.db.adapters.detect import Run, RunAsync
    from pgjobs.jobs.context import RunningJob
    from pgjobs.jobs.outcome import KeptResult

_NOTHING: Any = object()
_AUTOCOMMIT = ("complete()", "would end the job apart from its effects")


@overload
def complete(conn: AsyncCaller, *, result: object = ...) -> Coroutine[Any, Any, None]: ...


@overload
def complete(conn: SyncCaller, *, result: object = ...) -> None: ...


def complete(conn: SyncCaller | AsyncCaller, *, result: object = _NOTHING) -> Coroutine[Any, Any, None] | None:
    """Complete the running job in the transaction of `conn`: its COMMIT ends the job, and a rollback does not.

    In a batch it completes all jobs of the batch.

    Call it in the function that the job runs, last in the transaction. On an async connection, await it. The connection
    has to lead to the database of the job, with the rights of a worker. What the function does after the COMMIT is not
    part of the job any longer: an error there is logged, and the job stays completed. If the transaction is not
    committed and the function returns, the attempt has failed.

    `result`: what is kept of a job with `@job(result=…)`, by the same COMMIT. Such a job has to give it here, because
    it ends here: what the function returns after that is not kept. Where `options(result=False)` says to keep nothing,
    it is not looked at.

    Raises:
        LookupError: no job is running here.
        ResultError, ResultTooLargeError: the result cannot be kept. Nothing has been written.
        StaleClaimError: the job belongs to another attempt by now, or has been completed here before. The transaction
            cannot be committed.
        UsageError: the connection commits each statement by itself; or the job keeps a result and none is given, or the
            other way round; or its worker completes it (transaction=True).

    """
    job = current.get()
    if job is None:
        raise LookupError("complete() was called outside a job; call it in the function that the job runs.")
    if isinstance(job.function, TransactionJob | TransactionBatchJob):
        raise UsageError(
            f"{job.task} has transaction=True, so its worker completes it when the function has returned: leave "
            "complete() out, and return the result."
        )
    if getattr(job.function, "grown", None) is not None:
        raise UsageError("complete(): this step has added others to its workflow: add them in a step after it.")
    if getattr(job.function, "following", None) is not None:
        raise UsageError(
            "complete(): what this stage of a pipeline returns is passed on by its end, and this would end it before: "
            "leave it out, or do it in the last stage."
        )
    run, run_async = runner_of(conn)
    kept = _kept(job, result)
    if run_async is not None:
        job.completing = True  # already: if it is not awaited, the row says so
        return _complete_when_awaited(job, conn, run_async, kept)
    assert run is not None  # noqa: S101 (one of the two is there; for mypy)
    refuse_autocommit(conn, *_AUTOCOMMIT)
    _complete(job, run, kept)
    return None


def complete_within(job: RunningJob, conn: SyncCaller, kept: KeptResult | None) -> None:
    """Do the same for a job whose worker has opened the transaction.

    Raises:
        StaleClaimError: as `complete`.

    """
    run, _ = runner_of(conn)
    assert run is not None  # noqa: S101 (of a sync connection)
    _complete(job, run, kept)


async def complete_within_async(job: RunningJob, conn: AsyncCaller, kept: KeptResult | None) -> None:
    """Do it on an async connection.

    Raises:
        StaleClaimError: as `complete`.

    """
    _, run = runner_of(conn)
    assert run is not None  # noqa: S101 (of an async connection)
    await _complete_async(job, run, kept)


def _complete(job: RunningJob, run: Run, kept: KeptResult | None) -> None:
    statement, values = _written(job, kept)
    job.completing = True  # before: if the connection breaks now, the row says what came of it
    try:
        job.releases = run(statement, None, values) != [0]
    except Exception as error:
        _refuse_stale(job, error)
        raise


async def _complete_when_awaited(job: RunningJob, conn: Any, run: RunAsync, kept: KeptResult | None) -> None:
    await refuse_autocommit_async(conn, *_AUTOCOMMIT)
    await _complete_async(job, run, kept)


async def _complete_async(job: RunningJob, run: RunAsync, kept: KeptResult | None) -> None:
    statement, values = _written(job, kept)
    job.completing = True
    try:
        job.releases = await run(statement, None, values) != [0]
    except Exception as error:
        _refuse_stale(job, error)
        raise


def _kept(job: RunningJob, result: object) -> KeptResult | None:
    """Return what is kept of the job; None: nothing.

    Raises:
        UsageError: a result is missing, or one is given that the job does not keep.
        ResultError, ResultTooLargeError: it cannot be kept.

    """
    options = options_of(job.function or _nothing)
    if options.flow.batch is not None and (result is not _NOTHING or options.result is not None):
        raise UsageError(f"{job.task} runs in batches, and the jobs of a batch that completes itself keep no results.")
    if result is _NOTHING:
        if options.result is None:
            return None
        raise UsageError(
            f"{job.task} keeps what it returns, and complete() ends it before it has returned: give the result here, "
            "complete(conn, result=…)."
        )
    if options.result is None and declared_options(job.function or _nothing).result is None:
        raise UsageError(
            f"complete(result=…): {job.task} keeps no result: give it @job(result=True), or leave result= out here."
        )
    return kept_result(job.task, result, options)


def _nothing() -> None: ...


def _written(job: RunningJob, kept: KeptResult | None) -> tuple[str, dict[str, Any]]:
    """Return the statement that completes the job, and its parameters."""
    jobs = job.together
    if len(jobs) > 1:
        claims = {"ids": [each.id for each in jobs], "claim_numbers": [each.claim_number for each in jobs]}
        return "complete_batch_within", claims
    claim = {"id": jobs[0].id, "claim_number": jobs[0].claim_number}
    if kept is None:
        return "complete_within", claim
    return "complete_within_with_result", {
        **claim,
        "seconds": kept.seconds,
        "is_json": kept.is_json,
        "signature": signature_of(job.id, kept),
        "value": kept.value,
    }


def _refuse_stale(job: RunningJob, error: Exception) -> None:
    if sqlstate_of(error) == STALE:
        raise StaleClaimError(
            f"job {job.id} ({job.task}) no longer belongs to this attempt: it was taken back and runs elsewhere, or "
            "complete() was called before, or this connection leads to another database. Roll back."
        ) from error
