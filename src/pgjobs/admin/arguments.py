"""Change the arguments of jobs whose payload is JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pgjobs.core.config import settings
from pgjobs.core.errors import NotFoundError, SignatureError, UsageError
from pgjobs.core.text import shorten
from pgjobs.db.adapters.operations import operation
from pgjobs.db.encoding import encoding_of
from pgjobs.db.query import AnyJob, check_id, fetch_dicts
from pgjobs.payload.events import is_event
from pgjobs.payload.json_format import POSITIONAL, RESULT
from pgjobs.payload.json_values import dumps
from pgjobs.payload.signing import sign, signed_fields, verify
from pgjobs.payload.summary import MASK, is_secret

if TYPE_CHECKING:
    import psycopg

MAX_SHOWN = 60  # characters of one argument in a summary


@operation
def show_arguments(conn: psycopg.Connection, id: AnyJob) -> list[Any] | dict[str, Any]:
    """Return the arguments of a job that has not started, or of a dead letter, whose payload is JSON.

    A list: by position. An object: by name; those under the key "*" are by position.

    Raises:
        NotFoundError: there is no such job, or it has started.
        UsageError: its payload is not JSON, or is that of an event, or of a step of a workflow.

    """
    arguments: list[Any] | dict[str, Any] = _arguments(_row(conn, check_id(id)))
    if isinstance(arguments, dict):
        arguments.pop(RESULT, None)
    return arguments


@operation
def set_arguments(conn: psycopg.Connection, id: AnyJob, arguments: list[Any] | dict[str, Any]) -> None:
    """Change the arguments of a job that has not started, or of a dead letter, whose payload is JSON.

    `arguments`: as `show_arguments` returns them. Whether they fit shows when the job runs. Keys that were made of the
    old ones, such as those of limits and sequences, stay. A signed job is signed again with this process's key, if its
    signature was right.

    Raises:
        NotFoundError: there is no such job, or it has started.
        UsageError: its payload is not JSON, the arguments cannot be written in JSON, or they are too large.

    """
    number = check_id(id)
    row = _row(conn, number)
    before = _arguments(row)
    kept = {RESULT: before[RESULT]} if isinstance(before, dict) and RESULT in before else {}
    payload = _payload(arguments, kept)
    name = "set_dead_payload" if row["is_dead"] else "set_payload"
    values = {"payload": payload, "signature": _signature(row, payload), "summary": _summary(conn, row, arguments)}
    if not fetch_dicts(conn, name, id=number, before=row["payload"], **values):
        raise NotFoundError(f"Job {number} has just changed: look at it, and try again.")


def _row(conn: psycopg.Connection, id: int) -> dict[str, Any]:
    rows = fetch_dicts(conn, "payload_of_job", id=id)
    if not rows:
        raise NotFoundError(f"Job {id} is neither waiting to start nor a dead letter: nothing can be changed.")
    return rows[0]


def _arguments(row: dict[str, Any]) -> Any:
    payload = bytes(row["payload"])
    if payload[:1] not in (b"[", b"{") or is_event(payload):
        raise UsageError(f"job {row['id']} has arguments that are not JSON: they cannot be changed.")
    try:
        return json.loads(payload)
    except ValueError as error:
        raise UsageError(f"job {row['id']} has a payload that cannot be read: {error}.") from error


def _payload(arguments: object, kept: dict[str, Any]) -> bytes:
    if not isinstance(arguments, list | dict):
        raise UsageError("give the arguments as a list, or as an object of arguments by name.")
    if isinstance(arguments, dict) and (
        not isinstance(arguments.get(POSITIONAL, []), list)
        or any(not isinstance(name, str) or (name.startswith("*") and name != POSITIONAL) for name in arguments)
    ):
        raise UsageError(f'the arguments of an object are by name; "{POSITIONAL}" is a list of those by position.')
    whole: Any = arguments
    if kept:
        whole = {**kept, **(arguments if isinstance(arguments, dict) else {POSITIONAL: arguments})}
    try:
        payload = dumps(whole).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the arguments cannot be written in JSON: {error}.") from error
    if len(payload) > settings().max_payload:
        raise UsageError(f"the arguments have {len(payload):,} bytes, and {settings().max_payload:,} are allowed.")
    return payload


def _signature(row: dict[str, Any], payload: bytes) -> bytes | None:
    if row["signature"] is None:
        return None
    keys = settings().signing_keys
    if not keys:
        raise UsageError(f"job {row['id']} is signed: set PGJOBS_SIGNING_KEY here to change its arguments.")
    fields = signed_fields(row)
    try:
        verify(keys, row["signature"], fields, bytes(row["payload"]))
    except SignatureError as error:
        raise UsageError(f"job {row['id']} has a signature that PGJOBS_SIGNING_KEY does not fit.") from error
    return sign(keys[0], fields, payload)


def _summary(conn: psycopg.Connection, row: dict[str, Any], arguments: list[Any] | dict[str, Any]) -> str | None:
    if not settings().summaries:
        return None
    name = row["task"].rpartition(":")[2].rpartition(".")[2] or row["task"]
    if MASK in (row["summary"] or ""):  # one of them is secret, and which by position is not known here
        return encoding_of(conn).stored(shorten(f"{name}({MASK})"))
    by_name = {} if isinstance(arguments, list) else {key: each for key, each in arguments.items() if key != POSITIONAL}
    by_position = arguments if isinstance(arguments, list) else arguments.get(POSITIONAL, [])
    parts = [_shown(each) for each in by_position]
    parts += [f"{key}={MASK if is_secret(key) else _shown(each)}" for key, each in by_name.items()]
    return encoding_of(conn).stored(shorten(f"{name}({', '.join(parts)})"))


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
