"""What a broadcast returned: waited for over a connection of its own, because broadcasts are rare."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.core.config import settings
from pgjobs.core.errors import BroadcastError, NoResultError, UsageError
from pgjobs.core.validate import Seconds, check_seconds
from pgjobs.db.connection import connect
from pgjobs.db.installation import connection_name
from pgjobs.db.statements import statement
from pgjobs.job_results.encode import load
from pgjobs.job_results.source import source_of

if TYPE_CHECKING:
    from pgjobs.db.deadline import DeadlineConnection
    from pgjobs.job_results.source import Place, Source
    from pgjobs.jobs.broadcast import BroadcastHandle

FIRST_PAUSE = 0.02  # seconds between two looks, doubled with each
LONGEST_PAUSE = 0.5
MISSING_FOR = 0.25  # seconds without a trace of a broadcast: its transaction may be about to commit
RECONNECT_FOR = 60.0  # seconds for which the database may be gone


class Answer(NamedTuple):
    """What came of a broadcast in one process, as answers_of.sql returns it."""

    id: int
    host: str
    worker_id: int | None
    state: str
    error: str | None
    traceback: str | None
    value: bytes | None
    is_json: bool | None
    signature: bytes | None


def answers(
    conn: Any, broadcast: BroadcastHandle[Any], timeout: Seconds | None, return_errors: bool
) -> list[Any] | Coroutine[Any, Any, list[Any]]:
    """Wait for all that have to run a broadcast now, and return what it returned in each; see `results`."""
    source = source_of(conn, "results")
    seconds = None if timeout is None else check_seconds("timeout", timeout, or_else="None for no limit")
    if source.is_async:
        return _answers_async(source, broadcast.id, seconds, return_errors)
    found = _wait(source.place, broadcast.id, seconds, Event())
    if found is None:
        raise _missing(broadcast.id, source.run("visible_broadcast", None, {"id": broadcast.id}) if source.run else [])
    return [_value(broadcast.id, answer, return_errors) for answer in found]


async def _answers_async(source: Source, broadcast: int, seconds: float | None, return_errors: bool) -> list[Any]:
    from asyncio import to_thread  # imported lazily: most programs have no loop

    ended = Event()
    try:
        found = await to_thread(_wait, source.place, broadcast, seconds, ended)
    finally:
        ended.set()
    if found is None:
        run = source.run_async
        raise _missing(broadcast, await run("visible_broadcast", None, {"id": broadcast}) if run else [])
    return [_value(broadcast, answer, return_errors) for answer in found]


def _wait(place: Place, broadcast: int, seconds: float | None, ended: Event) -> list[Answer] | None:
    """Wait until all have ended, or `ended` is set; None: there is no such broadcast.

    Raises:
        TimeoutError: some have not.
        ConfigurationError: the database cannot be reached.

    """
    import psycopg

    began = broken_since = time.monotonic()
    pause, connection, unfinished = FIRST_PAUSE, None, 0
    try:
        while not ended.is_set():
            try:
                connection = connection or _connect(place)
                row = connection.execute(statement("unfinished_runs"), {"broadcast": broadcast}).fetchone()
                if row is not None and not row[0]:
                    rows = connection.execute(statement("answers_of"), {"broadcast": broadcast}).fetchall()
                    return [Answer(*each) for each in rows]
                broken_since = time.monotonic()
                if row is None and broken_since - began > MISSING_FOR:
                    return None
                unfinished = row[0] if row else 0
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if connection is None or time.monotonic() - broken_since > RECONNECT_FOR:
                    raise
                connection.close()
                connection = None
            if seconds is not None and time.monotonic() - began >= seconds:
                raise TimeoutError(
                    f"broadcast {broadcast} has not ended in {unfinished} places after {seconds:g} s; it continues."
                )
            left = LONGEST_PAUSE if seconds is None else max(0.0, began + seconds - time.monotonic())
            ended.wait(min(pause, left))
            pause = min(LONGEST_PAUSE, 2 * pause)
        return []
    finally:
        if connection is not None:
            connection.close()


def _connect(place: Place) -> DeadlineConnection:
    return connect(place.conninfo, application_name=connection_name("results"))


def _missing(broadcast: int, own: list[int]) -> Exception:
    if own:
        return UsageError(
            f"broadcast {broadcast} was made in this transaction, so no worker sees it before it is committed: commit "
            "first, then wait."
        )
    return NoResultError(
        f"there is no broadcast {broadcast}: it has gone, or the transaction that made it is not committed."
    )


def _value(broadcast: int, answer: Answer, return_errors: bool) -> Any:
    try:
        return _read(broadcast, answer)
    except Exception as error:
        if return_errors:
            return error
        raise


def _read(broadcast: int, answer: Answer) -> Any:
    where = answer.host if answer.worker_id is None else f"worker {answer.worker_id} ({answer.host})"
    if answer.state != "completed":
        how = "has failed" if answer.state == "failed" else "is gone"
        text = answer.error or "its error is not known"
        raise BroadcastError(
            f"broadcast {broadcast} {how} on {where}: {text}",
            broadcast,
            answer.host,
            answer.worker_id,
            text,
            answer.traceback,
        )
    if answer.value is None:
        why = f" ({answer.error})" if answer.error else ""
        raise NoResultError(f"broadcast {broadcast} has completed on {where}, and what it returned is not kept{why}")
    keys, value = settings().signing_keys, bytes(answer.value)
    if keys:
        from pgjobs.payload.signing import verify_answer  # imported lazily: hashlib is slow to import

        verify_answer(keys, answer.signature, answer.id, bool(answer.is_json), value)
    return load(f"what broadcast {broadcast} returned on {where}", value, bool(answer.is_json))
