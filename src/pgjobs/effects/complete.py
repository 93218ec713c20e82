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
from pgjobs.jobs.context import current

if TYPE_CHECKING:
    from pgjobs.db.adapters.detect import AsyncCaller, RunAsync, SyncCaller
    from pgjobs.jobs.context import RunningJob

_STATEMENT = "complete_within"
_STALE = "PGJ01"  # SQLSTATE of the function refuse_stale_claim


@overload
def complete(conn: AsyncCaller) -> Coroutine[Any, Any, None]: ...


@overload
def complete(conn: SyncCaller) -> None: ...


def complete(conn: SyncCaller | AsyncCaller) -> Coroutine[Any, Any, None] | None:
    """Complete the running job in the transaction of `conn`: its COMMIT ends the job, and a rollback does not.

    Call it in the function that the job runs, last in the transaction. On an async connection, await it. The connection
    has to lead to the database of the job, with the rights of a worker. What the function does after the COMMIT is not
    part of the job any longer: an error there is logged, and the job stays completed. If the transaction is not
    committed and the function returns, the attempt has failed.

    Raises:
        LookupError: no job is running here.
        StaleClaimError: the job belongs to another attempt by now, or has been completed here before. The transaction
            cannot be committed.
        UsageError: the connection commits each statement by itself.

    """
    job = current.get()
    if job is None:
        raise LookupError("complete() was called outside a job; call it in the function that the job runs.")
    run, run_async = runner_of(conn)
    _refuse_autocommit(conn)
    if run_async is not None:
        return _complete_async(job, run_async)
    assert run is not None  # noqa: S101 (one of the two is there; for mypy)
    job.completing = True  # before: if the connection breaks now, the row says what came of it
    try:
        job.releases = run(_STATEMENT, None, _claim_of(job)) != [0]
    except Exception as error:
        _refuse_stale(job, error)
        raise
    return None


async def _complete_async(job: RunningJob, run: RunAsync) -> None:
    job.completing = True
    try:
        job.releases = await run(_STATEMENT, None, _claim_of(job)) != [0]
    except Exception as error:
        _refuse_stale(job, error)
        raise


def _claim_of(job: RunningJob) -> dict[str, int]:
    return {"id": job.id, "claim_number": job.claim_number}


def _refuse_stale(job: RunningJob, error: Exception) -> None:
    if sqlstate_of(error) == _STALE:
        raise StaleClaimError(
            f"job {job.id} ({job.task}) no longer belongs to this attempt: it was taken back and runs elsewhere, or "
            "complete() was called before, or this connection leads to another database. Roll back."
        ) from error


def _refuse_autocommit(conn: Any) -> None:
    """Refuse a connection that would commit the completion before the rest.

    Raises:
        UsageError: it would.

    """
    options = getattr(conn, "get_execution_options", None)
    level = options().get("isolation_level") if callable(options) else None
    info = getattr(conn, "info", None)
    idle = getattr(conn, "autocommit", False) is True and getattr(info, "transaction_status", None) == 0
    if level == "AUTOCOMMIT" or idle:
        raise UsageError(
            "complete() on a connection in autocommit mode would end the job apart from its effects: open a "
            "transaction, as in `with conn.transaction(): …`."
        )
