"""Change jobs that have not started: their priority, when they are due, their queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.admin.changes import Change, Refusal
from pgjobs.core.config import settings
from pgjobs.core.errors import SignatureError, UsageError
from pgjobs.db.doorbell import notify_queues
from pgjobs.db.query import LOOK_UP, check_ids, chunks, fetch_dicts, job_states, local_settings
from pgjobs.jobs.options import JobOptions
from pgjobs.payload.signing import sign, signed_fields, verify

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import psycopg

JOBS_PER_TRANSACTION = 500  # jobs in one transaction: its locks are held for some ten milliseconds


@dataclass(frozen=True, slots=True)
class Alteration:
    """What to change; what is None stays. `run_at`: a time with a time zone; `delay`: seconds from now, instead.

    Raises:
        UsageError: a value that can not be used, both times, or nothing at all.

    """

    priority: int | None = None
    run_at: datetime | None = None
    delay: float | None = None
    queue: str | None = None

    def __post_init__(self) -> None:
        given = {
            name: value
            for name in ("priority", "run_at", "delay", "queue")
            if (value := getattr(self, name)) is not None
        }
        if not given:
            raise UsageError("say what to change: priority, run_at, delay or queue.")
        if self.run_at is not None and self.delay is not None:
            raise UsageError("delay= and run_at= were both given: use one of them.")
        JobOptions(**given)


def set_jobs(conn: psycopg.Connection, ids: Iterable[int], alteration: Alteration) -> Change:
    """Change queued and waiting jobs, in batches; what others have locked is refused, so that nobody waits.

    A signed job that moves to another queue is signed anew, with this process's key, if its signature was right.

    Raises:
        UsageError: an id is none.

    """
    wanted = check_ids(ids)
    done: set[int] = set()
    reasons: dict[int, str] = {}
    for piece in chunks(wanted, JOBS_PER_TRANSACTION):
        with local_settings(conn, LOOK_UP):
            done |= _alter(conn, list(piece), alteration, reasons)
    left = [each for each in wanted if each not in done]
    states = job_states(conn, left)
    return Change(
        tuple(each for each in wanted if each in done),
        tuple(Refusal(each, _why_not(each, states, reasons)) for each in left),
    )


def _alter(conn: psycopg.Connection, ids: list[int], alteration: Alteration, reasons: dict[int, str]) -> set[int]:
    signatures = {} if alteration.queue is None else _sign_anew(conn, ids, alteration.queue, reasons)
    rows = fetch_dicts(
        conn,
        "set_jobs",
        ids=ids,
        priority=alteration.priority,
        run_at=alteration.run_at,
        delay=alteration.delay,
        queue=alteration.queue,
        signed=list(signatures),
        signatures=list(signatures.values()),
    )
    notify_queues(conn, {row["queue"] for row in rows})
    return {row["id"] for row in rows}


def _sign_anew(conn: psycopg.Connection, ids: list[int], queue: str, reasons: dict[int, str]) -> dict[int, bytes]:
    """Give new signatures for those that are signed for another queue, by their ids."""
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
                f"Job {row['id']} has a signature that PGJOBS_SIGNING_KEY does not fit, so it is not signed anew."
            )
        else:
            found[row["id"]] = sign(keys[0], signed_fields(row, queue=queue), row["payload"])
    return found


def _why_not(id: int, states: dict[int, tuple[str, bool]], reasons: dict[int, str]) -> str:
    status, _ = states.get(id, (None, False))
    if status is None:
        return f"There is no job {id}: it never was, or it is not kept any more."
    if id in reasons:
        return reasons[id]
    if status == "running":
        return f"Job {id} is running: only what has not started can be changed."
    if status in ("queued", "waiting"):
        return f"Job {id} is locked by somebody at this moment: try again."
    return f"Job {id} is {status} already: `pgjobs jobs retry {id}` queues it again."
