"""How a job has ended, as it is read for those who wait; and what that is to them: a value, or an error."""

from __future__ import annotations

from typing import Any, NamedTuple

from pgjobs.core.errors import JobCancelledError, JobFailedError, NoResultError
from pgjobs.job_results.encode import decode


class Kept(NamedTuple):
    """It has a result."""

    job_id: int
    data: bytes
    is_json: bool
    signature: bytes | None


class End(NamedTuple):
    """It has ended without one."""

    job_id: int
    task: str
    status: str
    error: str | None
    traceback: str | None
    attempts: int


class Missing(NamedTuple):
    """There is no such job: it was not committed, or it has gone."""

    job_id: int


Ended = Kept | End | Missing


def value_of(end: Ended | Exception) -> Any:
    """Return the result of a job that has one.

    Raises:
        JobFailedError, JobCancelledError, NoResultError: it has ended otherwise, or keeps no result.
        PayloadError: it cannot be read here, or must not.
        Exception: what has kept this process from waiting any longer.

    """
    match end:
        case Kept(job_id, data, is_json, signature):
            return decode(job_id, bytes(data), is_json, None if signature is None else bytes(signature))
        case End(job_id, task, "failed", error, traceback, attempts):
            text = error or "its error is not known"
            raise JobFailedError(f"job {job_id} ({task}) has failed: {text}", job_id, text, traceback, attempts)
        case End(job_id, task, "cancelled", reason):
            why = "" if reason is None else f": {reason}"
            raise JobCancelledError(f"job {job_id} ({task}) was cancelled{why}", job_id, reason)
        case End(job_id, task):
            raise NoResultError(
                f"job {job_id} ({task}) has completed, and keeps no result (@job(result=True)), or the "
                "result has expired."
            )
        case Missing(job_id):
            raise NoResultError(
                f"there is no job {job_id}, and no result of it: it has gone, or the transaction that enqueued it is "
                "not committed (commit it before you wait)."
            )
        case _:
            raise end
