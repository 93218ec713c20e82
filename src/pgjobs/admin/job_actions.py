"""Put jobs back to queued, and change those that have not started."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pgjobs.admin.changes import Change, JobSelection, change_jobs, result_of
from pgjobs.admin.dead import replay_dead, still_ending
from pgjobs.core.config import settings
from pgjobs.core.errors import SignatureError
from pgjobs.db.adapters.operations import operation
from pgjobs.db.doorbell import notify_queues
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import JOBS_PER_TRANSACTION, AnyJobs, chunks, ended_at, fetch_dicts, job_states, local_settings
from pgjobs.db.workflow_counts import reopen_steps
from pgjobs.jobs.settable import check_settable
from pgjobs.payload.signing import signed_again, signed_fields

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import psycopg

RETRIABLE = ("failed", "cancelled")
SETTABLE = ("waiting", "queued")
ENDED = ("completed", "failed", "cancelled")
MAX_ROUNDS = 3


@operation
def retry_jobs(
    conn: psycopg.Connection,
    jobs: AnyJobs | JobSelection,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Put jobs back to queued, due now, given by id, by handle or by a selection (default: failed and cancelled ones).

    Jobs that have ended get a fresh budget of attempts under the same id; jobs that are due later become due now. A
    dead letter is removed; the errors of all attempts are kept. Jobs that run, wait or are due are refused.

    Raises:
        UsageError: an id cannot be one.

    """
    return change_jobs(conn, jobs, RETRIABLE, lambda ids: _retry(conn, ids), on_progress=on_progress)


@operation
def set_jobs(
    conn: psycopg.Connection,
    jobs: AnyJobs | JobSelection,
    *,
    priority: int | None = None,
    run_at: datetime | None = None,
    delay: float | timedelta | None = None,
    queue: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Change queued and waiting jobs, given by id, by handle or by a selection. What is None stays as it is.

    `run_at`: a datetime with a time zone; or `delay`: seconds from now, or a timedelta. A signed job that moves to
    another `queue` is signed again with this process's key, if its signature was right. Jobs that another transaction
    has locked are refused, so that this one waits for none.

    Raises:
        UsageError: a value cannot be used, both times were given, nothing was, or an id cannot be one.

    """
    values = check_settable(priority=priority, run_at=run_at, delay=delay, queue=queue)
    return change_jobs(conn, jobs, SETTABLE, lambda ids: _set_all(conn, ids, values), on_progress=on_progress)


def _retry(conn: psycopg.Connection, ids: list[int]) -> Change:
    with local_settings(conn, LOOK_UPS):
        done: set[int] = set()
        states: dict[int, tuple[str, bool]] = {}
        left = ids
        for _ in range(MAX_ROUNDS):
            changed = fetch_dicts(conn, "requeue_jobs", ids=left, ended_at=ended_at(conn, left))
            reopen_steps(conn, [row["id"] for row in changed])
            done |= {row["id"] for row in changed}
            sooner = fetch_dicts(conn, "make_due", ids=[each for each in left if each not in done])
            notify_queues(conn, {row["queue"] for row in sooner})
            done |= {row["id"] for row in sooner}
            states |= job_states(conn, [each for each in left if each not in done])
            # What has ended after it was looked for in history is there now.
            left = [each for each in left if each not in done and states.get(each, ("", False))[0] in ENDED]
            if not left:
                break
        # An id that is left may be a dead letter whose row in history is past retention. One beside a live job is not.
        if lost := [each for each in ids if each not in done and each not in states]:
            done.update(replay_dead(conn, lost).done)
    reasons = still_ending(conn, [each for each in ids if each not in done])
    return result_of("retry", ids, done, states, reasons=reasons)


def _set_all(conn: psycopg.Connection, ids: list[int], values: dict[str, Any]) -> Change:
    done: set[int] = set()
    reasons: dict[int, str] = {}
    for piece in chunks(ids, JOBS_PER_TRANSACTION):
        with local_settings(conn, LOOK_UPS):
            done |= _set(conn, list(piece), values, reasons)
    return result_of("set", ids, done, job_states(conn, [each for each in ids if each not in done]), reasons=reasons)


def _set(conn: psycopg.Connection, ids: list[int], values: dict[str, Any], reasons: dict[int, str]) -> set[int]:
    signatures = {} if values["queue"] is None else _sign_again(conn, ids, values["queue"], reasons)
    signed = {"signed": list(signatures), "signatures": list(signatures.values())}
    rows = fetch_dicts(conn, "set_jobs", ids=ids, **values, **signed)
    notify_queues(conn, {row["queue"] for row in rows})
    return {row["id"] for row in rows}


def _sign_again(conn: psycopg.Connection, ids: list[int], queue: str, reasons: dict[int, str]) -> dict[int, bytes]:
    """Return new signatures, by id, for the jobs that are signed for another queue."""
    keys = settings().signing_keys
    found: dict[int, bytes] = {}
    for row in fetch_dicts(conn, "signed_jobs", ids=ids, queue=queue):
        if not keys:
            reasons[row["id"]] = (
                f"Job {row['id']} is signed for the queue {row['queue']}: set PGJOBS_SIGNING_KEY here to move it."
            )
            continue
        try:
            fields, changed = signed_fields(row), signed_fields(row, queue=queue)
            found[row["id"]] = signed_again(keys, row["signature"], fields, changed, row["payload"])
        except SignatureError:
            reasons[row["id"]] = (
                f"Job {row['id']} has a signature that PGJOBS_SIGNING_KEY does not fit, so it is not signed again."
            )
    return found
