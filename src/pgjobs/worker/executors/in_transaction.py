"""Jobs with `@job(transaction=True)`: the worker opens a transaction, passes it to the function, and commits.

The commit is what completes the job, as with `complete`. The hooks around a job are around the transaction, too: they
see an error of the commit, and what they raise after it comes too late.
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from pgjobs.core.errors import UsageError
from pgjobs.core.validate import has_type
from pgjobs.effects.complete import complete_within, complete_within_async
from pgjobs.job_results.encode import kept_result
from pgjobs.jobs.batch_outcomes import Outcomes
from pgjobs.jobs.outcome import KeptResult
from pgjobs.jobs.transaction import TransactionJob
from pgjobs.jobs.transaction_batch import TransactionBatchJob
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors.awaiting import must_be_awaited, settle
from pgjobs.worker.executors.own_code import run
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.own_connections import open_async, open_sync
from pgjobs.worker.runtime.process_guard import forked

_Function: TypeAlias = TransactionJob[Any, ..., Any] | TransactionBatchJob[Any, Any, Any]


def in_transaction(job: ClaimedJob, call: Call) -> Any:
    """Run a call in a transaction; of a coroutine function, return what does so when it is awaited.

    Raises:
        BaseException: what the function raises, or what its connection does. Nothing was committed; or the connection
            was lost while it committed, and the job's row says whether it did.

    """
    function = call.callable
    assert isinstance(function, TransactionJob | TransactionBatchJob)  # noqa: S101 (for mypy)
    if function.wanted.kind.is_async:
        return _in_async_transaction(job, function, call)
    transaction = open_sync(function.wanted)
    try:
        result = run(Call(function.function, (transaction.conn, *call.args), call.kwargs))
        _leave_if_forked()
        if result is not None and must_be_awaited(result):
            getattr(result, "close", bool)()  # Python would complain that it was not awaited
            raise UsageError(f"{job.task} returned what has to be awaited: make it an `async def`.")
        kept = _kept(job, function, result)
        transaction.flush()
        complete_within(job, transaction.conn, kept)
        transaction.commit()
    except BaseException as error:
        _leave_if_forked()
        transaction.roll_back()
        _refuse_outcomes(job, error)
        raise
    return None


async def _in_async_transaction(job: ClaimedJob, function: _Function, call: Call) -> None:
    transaction = await open_async(function.wanted)
    try:
        result = await settle(function.function(transaction.conn, *call.args, **call.kwargs))
        _leave_if_forked()
        kept = _kept(job, function, result)
        await transaction.flush()
        await complete_within_async(job, transaction.conn, kept)
        await transaction.commit()
    except BaseException as error:
        _leave_if_forked()
        await transaction.roll_back()
        _refuse_outcomes(job, error)
        raise


def _kept(job: ClaimedJob, function: _Function, result: object) -> KeptResult | None:
    _refuse_outcomes(job, result)
    return kept_result(job.task, result, function.job_options)


def _refuse_outcomes(job: ClaimedJob, said: object) -> None:
    """Refuse what says that some jobs of a batch have completed: a transaction completes all of them, or none."""
    if has_type(said, Outcomes):
        raise UsageError(
            f"{job.task} gave Outcomes, and with transaction=True all jobs of a batch end by one COMMIT: raise what is "
            "wrong, and the batch is halved; or use complete() in a transaction of your own."
        )


def _leave_if_forked() -> None:
    """End a child that the job forked and that came back here: it would speak on the connection of its parent."""
    if forked():
        os._exit(0)
