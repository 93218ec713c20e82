"""`publish()`: an event in the caller's transaction, with a job for each subscription whose pattern matches."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from pgjobs.core.config import settings
from pgjobs.core.validate import check_printable
from pgjobs.db.adapters.awaitable import Enqueueing
from pgjobs.db.adapters.detect import runner_of
from pgjobs.flow.topics import check_topic
from pgjobs.jobs.tracing import followed, followed_async, installed, send
from pgjobs.payload.events import event_body

if TYPE_CHECKING:
    from pgjobs.core.callers import AsyncCaller, SyncCaller
    from pgjobs.db.adapters.detect import Run, RunAsync

MAX_SEQUENCE = 80  # characters: that of the job has its subscription in front


@overload
def publish(
    conn: AsyncCaller, topic: str, payload: object = None, /, *, sequence: str | None = None
) -> Coroutine[Any, Any, int]: ...
@overload
def publish(conn: SyncCaller, topic: str, payload: object = None, /, *, sequence: str | None = None) -> int: ...
def publish(
    conn: SyncCaller | AsyncCaller, topic: str, payload: object = None, /, *, sequence: str | None = None
) -> int | Coroutine[Any, Any, int]:
    """Publish an event, in the transaction of `conn`: each subscription whose pattern matches the topic gets a job.

    One statement makes all jobs. They exist when the transaction is committed, and never if it is rolled back. Where
    nothing is subscribed, nothing happens, unless the topic keeps its events (`topic`).

    Args:
        conn: as for `enqueue`; on one of the async kinds, await the result.
        topic: segments of letters, digits, `_`, `-` and `:`, separated by dots: "order.placed".
        payload: a JSON value, of up to 256 KiB.
        sequence: a key of up to 80 characters; in each subscription its events are handled one after another, in the
            order in which they were published.

    Returns:
        The id of the event.

    Raises:
        UsageError: the topic or the key cannot be used.
        EnqueueError: `conn` is of another kind, or the payload is too large, or no JSON. Nothing was written. Or
            PostgreSQL has not let a row in; then roll back.
        SchemaError: the database has no tables of pgjobs, or older ones.
        Exception: as for `enqueue`.

    """
    run, run_async = runner_of(conn)
    values = event_values(topic, payload, sequence)
    if installed.tracing is not None:
        return _publish_followed(conn, run, run_async, values)
    if run_async is not None:
        return Enqueueing(_publish_async(run_async, values), conn, "publish", values["topic"])
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return _publish(run, values)


def _publish_followed(
    conn: SyncCaller | AsyncCaller, run: Run | None, run_async: RunAsync | None, values: dict[str, Any]
) -> int | Coroutine[Any, Any, int]:
    """Do the same, followed by a span."""
    sending = send(values["topic"], operation="publish")
    if run_async is not None:
        writing = followed_async(sending, partial(_publish_async, run_async, values), _ids_of)
        return Enqueueing(writing, conn, "publish", values["topic"])
    assert run is not None  # noqa: S101 (runner_of gives one of the two)
    return followed(sending, partial(_publish, run, values), _ids_of)


def _ids_of(event: int) -> tuple[int, ...]:
    return (event,)


def _publish(run: Run, values: dict[str, Any]) -> int:
    return int(run("publish", None, values)[0])


async def _publish_async(run: RunAsync, values: dict[str, Any]) -> int:
    return int((await run("publish", None, values))[0])


def event_values(topic: object, payload: object, sequence: object) -> dict[str, Any]:
    """Return the parameters of the statement that publishes an event.

    Raises:
        UsageError, EnqueueError: as `publish`.

    """
    current = settings()
    name = check_topic(topic)
    body = event_body(name, payload, current.max_payload)
    signature = None
    if current.signing_keys:
        from pgjobs.payload.event_signatures import sign_body  # imported lazily: hashlib is slow to import

        signature = sign_body(current.signing_keys[0], body)
    return {
        "topic": name,
        "body": body,
        "signature": signature,
        "sequence": None if sequence is None else check_printable("sequence", sequence, MAX_SEQUENCE),
    }
