"""A schedule as a stored row: the columns of its job, signed, and the options that hold the job up, both as JSON."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from json import dumps, loads
from typing import TYPE_CHECKING, Any

from pgjobs.core.config import settings
from pgjobs.core.errors import EnqueueError, UsageError
from pgjobs.db.encoding import can_store, encoding_of
from pgjobs.db.enqueue_columns import EnqueueColumns
from pgjobs.flow.options import NO_FLOW

if TYPE_CHECKING:
    import psycopg

    from pgjobs.payload.keys import FlowKeys
    from pgjobs.schedules.cron import Missed, Overlap

# The statements of such jobs, and the parameters that each has beside the columns. No other statement is ever run,
# whatever a row says.
_VALUES = {
    "enqueue_in_lane": (*NO_FLOW.columns(checked=False), "lane", "cost"),
    "enqueue_after_checks": (*NO_FLOW.columns(checked=True), "lanes", "costs", "keys"),
}
_TIMES = frozenset({"run_at", "delay"})  # each firing has its own


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """A schedule as a row of `schedules`, without its state.

    `app`: None for the schedules of operators. `columns`: those of the job that each firing enqueues. `options`: what
    holds the job up, as JSON.
    """

    name: str
    app: str | None
    cron: str
    tz: str
    missed: Missed
    overlap: Overlap
    columns: EnqueueColumns
    options: str
    summary: str | None
    signature: bytes | None
    payload: bytes

    def digest(self) -> bytes:
        """Return what differs between two declarations."""
        from hashlib import sha256  # imported lazily: hashlib is slow to import

        return sha256(repr(self).encode()).digest()

    def row_values(self) -> dict[str, Any]:
        """Return the columns of `schedules`, as parameters."""
        columns = {name: value for name, value in self.columns._asdict().items() if name not in _TIMES}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "columns": dumps(columns, sort_keys=True, allow_nan=False, ensure_ascii=False)}

    def to_message(self) -> dict[str, Any]:
        """Return it as plain values of JSON."""
        values = self.row_values()
        return {**values, **{name: _encode(values[name]) for name in ("signature", "payload")}}

    @classmethod
    def from_message(cls, values: Mapping[str, Any]) -> StoredSchedule:
        """Return the schedule that `to_message` wrote."""
        decoded = {name: _decode(values[name]) for name in ("signature", "payload")}
        return cls(**{**values, **decoded, "columns": columns_of({"columns": loads(values["columns"])})})


def _encode(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


def _decode(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


def signed(made: StoredSchedule) -> StoredSchedule:
    """Sign the jobs of a schedule with the key that this process has now."""
    keys = settings().signing_keys
    if not keys:
        return replace(made, signature=None)
    from pgjobs.payload.signing import sign, signed_fields  # imported lazily: hashlib is slow to import

    return replace(made, signature=sign(keys[0], signed_fields(made.columns), made.payload))


def storable(conn: psycopg.Connection[Any], made: StoredSchedule) -> StoredSchedule | None:
    """Return a schedule as the database can hold it: with other characters in its summary; None if it cannot."""
    encoding = encoding_of(conn)
    if encoding.has_all:
        return made
    exact = {**made.row_values(), "summary": None}.values()
    if not all(can_store(conn, value) for value in exact if isinstance(value, str)):
        return None
    return replace(made, summary=None if made.summary is None else encoding.stored(made.summary))


def columns_of(row: Mapping[str, Any]) -> EnqueueColumns:
    """Return the columns of a job, from a row of `schedules`; `run_at` is left open.

    Raises:
        UsageError: the row has columns that cannot be read.

    """
    given = row["columns"]
    columns = {name: given.get(name) for name in EnqueueColumns._fields if name not in _TIMES}
    for name, value in columns.items():
        if isinstance(value, dict | list):
            raise UsageError(
                f"the columns of this schedule cannot be read ({name} is a {type(value).__name__}): declare it, or add "
                "it, anew."
            )
    return EnqueueColumns(run_at=None, delay=0.0, **columns)


def kept_options(task: str, keys: FlowKeys | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return what holds the jobs of a schedule up, as JSON; `keys`: None for plain jobs.

    Raises:
        EnqueueError: they wait for other jobs, or an argument cannot be part of a key.

    """
    if keys is None:
        return "{}"
    if keys.common.get("needed") is not None:
        raise EnqueueError(f"{task} has after=: leave it out, every firing would wait for the same jobs.")
    made = keys.row_values(keys.call_keys(args, kwargs), b"", None, None)
    values = {name: made[name] for name in _VALUES[keys.statement]}
    if values["expires_at"] is not None:
        values["expires_at"] = values["expires_at"].astimezone(UTC).isoformat()
    if values.get("on_conflict") == "raise":  # no caller could catch it
        values["on_conflict"] = "skip"
    return dumps({"statement": keys.statement, "values": values}, sort_keys=True, allow_nan=False, ensure_ascii=False)


def has_unique_key(row: Mapping[str, Any]) -> bool:
    """Return True if the jobs of a row of `schedules` have a unique key."""
    options = row["options"]
    values = options.get("values") if isinstance(options, dict) else None
    return isinstance(values, dict) and bool(values.get("keys"))


def statement_of(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of the statement that enqueues the job of a row of `schedules`, and its own parameters.

    Raises:
        UsageError: the row has options that cannot be read.

    """
    own = {name: row[name] for name in ("summary", "signature", "payload")}
    if not row["options"]:
        return "enqueue", own
    try:
        name, given = row["options"]["statement"], row["options"]["values"]
        values = {each: given[each] for each in _VALUES[name]}
        if values["expires_at"] is not None:
            values["expires_at"] = datetime.fromisoformat(values["expires_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the options of this schedule cannot be read ({type(error).__name__}: {error}): declare it, or add it, "
            "anew."
        ) from error
    if name == "enqueue_after_checks":
        summary, signature = own["summary"], own["signature"]
        own = {
            "summaries": None if summary is None else [summary],
            "signatures": None if signature is None else [signature],
            "payloads": [own["payload"]],
        }
    return name, {**values, **own}
