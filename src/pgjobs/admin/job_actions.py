"""Cancel jobs, put them back to queued, and change those that have not started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

from pgjobs.admin.changes import JOBS_PER_TRANSACTION, Change, JobSelection, change_jobs, result_of
from pgjobs.admin.dead import replay_dead
from pgjobs.core.config import settings
from pgjobs.core.errors import SignatureError, UsageError
from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.doorbell import notify_queues
from pgjobs.db.query import LOOK_UP, check_ids, chunks, fetch_dicts, job_states, local_settings, settled
from pgjobs.jobs.options import JobOptions
from pgjobs.payload.signing import sign, signed_fields, verify

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import psycopg

CANCEL_REASON = "cancelled by an operator"
CANCELLABLE = ("waiting", "queued", "running")
RETRIABLE = ("failed", "cancelled")
SETTABLE = ("waiting", "queued")
MAX_ROUNDS = 5  # a job may start, or be queued again, between two statements
POLL_EVERY = 0.1  # seconds


def cancel_jobs(
    conn: psycopg.Connection,
    jobs: Iterable[int] | JobSelection,
    *,
    reason: str = CANCEL_REASON,
    force: bool = False,
    cascade: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Cancel jobs, given by id or by a selection. Jobs that have ended are refused.

    Queued and waiting jobs are cancelled at once. Running ones are asked to end, and their workers act within a second:
    a coroutine is cancelled, the process of a process job is killed, and a job in a thread sees
    `current_job().cancelled`. They end as cancelled and are not retried, whatever happens to their worker; a job that
    returns nevertheless has completed.

    `reason`: becomes the job's `error`. `force`: raise `JobCancelled` in jobs that run in a thread. `cascade`: also
    cancel the jobs that wait for one of these, and so on.

    Raises:
        UsageError: an id cannot be one.

    """
    return change_jobs(
        conn, jobs, CANCELLABLE, lambda ids: _cancel_all(conn, ids, reason, force, cascade), on_progress=on_progress
    )


def wait_for_exit(conn: psycopg.Connection, ids: Iterable[int], seconds: float) -> tuple[int, ...]:
    """Wait until none of these jobs is running; return the ids of those that still run after `seconds`.

    Call it outside of a transaction: workers see a request to cancel only when it is committed.

    Raises:
        UsageError: an id cannot be one.

    """
    left = check_ids(ids)
    deadline = time.monotonic() + seconds
    while True:
        states = job_states(conn, left)
        left = [each for each in left if states.get(each, ("", False))[0] == "running"]
        if not left or time.monotonic() >= deadline:
            return tuple(left)
        time.sleep(POLL_EVERY)


def retry_jobs(
    conn: psycopg.Connection,
    jobs: Iterable[int] | JobSelection,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Put jobs back to queued, due now, given by id or by a selection (default: failed and cancelled ones).

    Jobs that have ended get a fresh budget of attempts under the same id; jobs that are due later become due now. A
    dead letter is removed; the errors of all attempts are kept. Jobs that run, wait or are due are refused.

    Raises:
        UsageError: an id cannot be one.

    """
    return change_jobs(conn, jobs, RETRIABLE, lambda ids: _retry(conn, ids), on_progress=on_progress)


def set_jobs(
    conn: psycopg.Connection,
    jobs: Iterable[int] | JobSelection,
    *,
    priority: int | None = None,
    run_at: datetime | None = None,
    delay: float | timedelta | None = None,
    queue: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Change:
    """Change queued and waiting jobs, given by id or by a selection. What is None stays as it is.

    `run_at`: a datetime with a time zone; or `delay`: seconds from now, or a timedelta. A signed job that moves to
    another `queue` is signed again with this process's key, if its signature was right. Jobs that another transaction
    has locked are refused, so that this one waits for none.

    Raises:
        UsageError: a value cannot be used, both times were given, nothing was, or an id cannot be one.

    """
    values = check_changes(priority=priority, run_at=run_at, delay=delay, queue=queue)
    return change_jobs(conn, jobs, SETTABLE, lambda ids: _set_all(conn, ids, values), on_progress=on_progress)


def check_changes(
    *,
    priority: int | None = None,
    run_at: datetime | None = None,
    delay: float | timedelta | None = None,
    queue: str | None = None,
) -> dict[str, Any]:
    """Return the values that `set_jobs` is to store, by column, as `JobOptions` would keep them.

    Raises:
        UsageError: a value cannot be used, both times were given, or nothing was.

    """
    values: dict[str, Any] = {"priority": priority, "run_at": run_at, "delay": delay, "queue": queue}
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        raise UsageError("nothing to change: give priority, run_at, delay or queue.")
    if run_at is not None and delay is not None:
        raise UsageError("delay= and run_at= were both given: use one of them.")
    options = JobOptions(**given)
    return values | {name: getattr(options, name) for name in given}


def _cancel_all(conn: psycopg.Connection, ids: list[int], reason: str, force: bool, cascade: bool) -> Change:
    wanted = list(ids)
    done: set[int] = set()
    asked: set[int] = set()
    # With a cascade it is one transaction: between two, the jobs that wait for a cancelled one could be forgotten.
    with conn.transaction() if cascade else nullcontext():
        for piece in chunks(wanted, JOBS_PER_TRANSACTION):
            _cancel(conn, list(piece), reason, force, done, asked, cascade)
        if cascade:
            wanted += _cascade(conn, wanted, reason, force, done, asked)
    left = [each for each in wanted if each not in done and each not in asked]
    return result_of("cancel", wanted, done, job_states(conn, left), asked=asked)


def _cancel(
    conn: psycopg.Connection, ids: list[int], reason: str, force: bool, done: set[int], asked: set[int], cascade: bool
) -> None:
    def release(rows: list[dict[str, Any]]) -> None:
        """Release the jobs that wait for these, in the transaction in which these end."""
        ended_jobs = [EndedJob(row["id"], row["awaited"]) for row in rows if row["awaited"]]
        if ended_jobs and not cascade:
            with conn.cursor(row_factory=tuple_row) as cursor:
                release_dependents(cursor, ended_jobs, completed=False)

    for _ in range(MAX_ROUNDS):
        if not ids:
            return
        done.update(row["id"] for row in settled(conn, "cancel_jobs", then=release, ids=ids, reason=reason))
        ids = [each for each in ids if each not in done]
        asked.update(row["id"] for row in settled(conn, "request_cancel", ids=ids, reason=reason, force=force))
        ids = [each for each in ids if each not in asked]
        states = job_states(conn, ids)
        ids = [each for each in ids if states.get(each, ("", False))[0] in CANCELLABLE]


def _cascade(
    conn: psycopg.Connection, ids: list[int], reason: str, force: bool, done: set[int], asked: set[int]
) -> list[int]:
    """Cancel the jobs that wait for cancelled ones, step by step, and return their ids."""
    seen = set(ids)
    step = [each for each in ids if each in done or each in asked]
    added: list[int] = []
    while step:
        following: list[int] = []
        for piece in chunks(step, JOBS_PER_TRANSACTION):
            with local_settings(conn, LOOK_UP):
                rows = fetch_dicts(conn, "dependents", ids=list(piece))
            new = [row["id"] for row in rows if row["id"] not in seen]
            seen.update(new)
            for some in chunks(new, JOBS_PER_TRANSACTION):
                _cancel(conn, list(some), reason, force, done, asked, cascade=True)
            following += [each for each in new if each in done or each in asked]
        added += following
        step = following
    # Jobs that still wait for them were cancelled themselves, or could not be.
    for piece in chunks([each for each in seen if each in done], JOBS_PER_TRANSACTION):
        with conn.cursor(row_factory=tuple_row) as cursor:
            release_dependents(cursor, [EndedJob(each, awaited=True) for each in piece], completed=False)
    return added


def _retry(conn: psycopg.Connection, ids: list[int]) -> Change:
    with local_settings(conn, LOOK_UP):
        changed = fetch_dicts(conn, "requeue_jobs", ids=ids)
        done = {row["id"] for row in changed}
        sooner = fetch_dicts(conn, "make_due", ids=[each for each in ids if each not in done])
        notify_queues(conn, {row["queue"] for row in sooner})
        done |= {row["id"] for row in sooner}
        # An id that is left may be a dead letter whose row in history is past retention. One beside a live job is not.
        states = job_states(conn, [each for each in ids if each not in done])
        if lost := [each for each in ids if each not in done and each not in states]:
            done.update(replay_dead(conn, lost).done)
    return result_of("retry", ids, done, states)


def _set_all(conn: psycopg.Connection, ids: list[int], values: dict[str, Any]) -> Change:
    done: set[int] = set()
    reasons: dict[int, str] = {}
    for piece in chunks(ids, JOBS_PER_TRANSACTION):
        with local_settings(conn, LOOK_UP):
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
            verify(keys, row["signature"], signed_fields(row), row["payload"])
        except SignatureError:
            reasons[row["id"]] = (
                f"Job {row['id']} has a signature that PGJOBS_SIGNING_KEY does not fit, so it is not signed again."
            )
        else:
            found[row["id"]] = sign(keys[0], signed_fields(row, queue=queue), row["payload"])
    return found
