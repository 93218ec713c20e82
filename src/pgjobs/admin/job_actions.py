"""Cancel jobs: those that have not started at once, running ones by asking, and on request all that wait for them."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

from pgjobs.admin.changes import Change, Refusal
from pgjobs.db.dependencies import EndedJob, release_dependents
from pgjobs.db.query import LOOK_UP, check_ids, chunks, fetch_dicts, job_states, local_settings, settled

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

CANCEL_REASON = "cancelled by an operator"
JOBS_PER_TRANSACTION = 500  # jobs in one statement
ROUNDS = 5  # a job may start, or be queued again, between two statements
POLL_EVERY = 0.1  # seconds


def cancel_jobs(
    conn: psycopg.Connection,
    ids: Iterable[int],
    *,
    reason: str = CANCEL_REASON,
    force: bool = False,
    cascade: bool = False,
) -> Change:
    """Cancel jobs; `reason` becomes their `error`. Finished ones are refused.

    Queued and waiting ones are cancelled at once. Running ones are asked, and their workers act within a second: a
    coroutine is cancelled, the process of a process job is killed, a job in a thread sees `current_job().cancelled`;
    with `force` it gets `JobCancelled` raised. They end as cancelled and are not retried, whatever becomes of their
    worker; only one that returns all the same has completed. `cascade`: also what waits for one of them, and so on.

    Raises:
        UsageError: an id is none.

    """
    wanted = check_ids(ids)
    done: set[int] = set()
    asked: set[int] = set()
    # What waits for one that is cancelled must not be forgotten between two steps: then it is one transaction.
    with conn.transaction() if cascade else nullcontext():
        for piece in chunks(wanted, JOBS_PER_TRANSACTION):
            _cancel(conn, list(piece), reason, force, done, asked, cascade)
        if cascade:
            wanted += _cascade(conn, wanted, reason, force, done, asked)
    left = [each for each in wanted if each not in done and each not in asked]
    states = job_states(conn, left)
    return Change(
        tuple(each for each in wanted if each in done),
        tuple(Refusal(each, _why_not(each, states)) for each in left),
        tuple(each for each in wanted if each in asked),
    )


def wait_for_exit(conn: psycopg.Connection, ids: Iterable[int], seconds: float) -> tuple[int, ...]:
    """Wait until none of these jobs runs any more, and give those that still do after so many seconds.

    To be called outside of a transaction: the request is not seen before its commit.

    Raises:
        UsageError: an id is none.

    """
    left = check_ids(ids)
    deadline = time.monotonic() + seconds
    while True:
        states = job_states(conn, left)
        left = [each for each in left if states.get(each, ("", False))[0] == "running"]
        if not left or time.monotonic() >= deadline:
            return tuple(left)
        time.sleep(POLL_EVERY)


def _cancel(
    conn: psycopg.Connection, ids: list[int], reason: str, force: bool, done: set[int], asked: set[int], cascade: bool
) -> None:
    def tell(rows: list[dict[str, Any]]) -> None:
        """Let what waits for them know, in the transaction in which they end."""
        ended_jobs = [EndedJob(row["id"], row["awaited"]) for row in rows if row["awaited"]]
        if ended_jobs and not cascade:
            with conn.cursor(row_factory=tuple_row) as cursor:
                release_dependents(cursor, ended_jobs, completed=False)

    for _ in range(ROUNDS):
        if not ids:
            return
        done.update(row["id"] for row in settled(conn, "cancel_jobs", then=tell, ids=ids, reason=reason))
        ids = [each for each in ids if each not in done]
        asked.update(row["id"] for row in settled(conn, "request_cancel", ids=ids, reason=reason, force=force))
        ids = [each for each in ids if each not in asked]
        states = job_states(conn, ids)
        ids = [each for each in ids if states.get(each, ("", False))[0] in ("queued", "waiting", "running")]


def _cascade(
    conn: psycopg.Connection, ids: list[int], reason: str, force: bool, done: set[int], asked: set[int]
) -> list[int]:
    """Cancel all that waits for what was cancelled, step by step, and give their ids."""
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
    # What is left waits for them although it was cancelled itself, or could not be.
    for piece in chunks([each for each in seen if each in done], JOBS_PER_TRANSACTION):
        with conn.cursor(row_factory=tuple_row) as cursor:
            release_dependents(cursor, [EndedJob(each, awaited=True) for each in piece], completed=False)
    return added


def _why_not(id: int, states: dict[int, tuple[str, bool]]) -> str:
    status, _ = states.get(id, (None, False))
    if status is None:
        return f"There is no job {id}: it never was, or it is not kept any more."
    if status in ("queued", "waiting", "running"):
        return f"Job {id} has changed at this moment (now {status}): look at it, and try again."
    return f"Job {id} is {status} already: there is nothing to cancel."
