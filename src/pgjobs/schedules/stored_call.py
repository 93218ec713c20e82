"""What a schedule keeps of the options that hold its jobs up: made from the arguments once, and kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from json import dumps
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import EnqueueError, UsageError
from pgjobs.flow.options import NO_FLOW

if TYPE_CHECKING:
    from pgjobs.payload.keys import FlowKeys

# The statements of such jobs, and what each needs beside the columns of a schedule. No other one is ever run, whatever
# a row says.
_CELLS = {
    "enqueue_controlled": (*NO_FLOW.columns(checked=False), "lane", "cost"),
    "enqueue_checked": (*NO_FLOW.columns(checked=True), "lanes", "costs", "keys"),
}


def kept_options(task: str, keys: FlowKeys | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Write what holds the jobs of a schedule up; `keys`: None for plain jobs.

    Raises:
        EnqueueError: they are to wait for other jobs, or an argument can not be part of a key.

    """
    if keys is None:
        return "{}"
    if keys.common.get("needed") is not None:
        raise EnqueueError(f"{task} has after=: leave it out, every firing would wait for the same jobs.")
    made = keys.row_values(keys.call_keys(args, kwargs), b"", None, None)
    cells = {name: made[name] for name in _CELLS[keys.statement]}
    if cells["expires_at"] is not None:
        cells["expires_at"] = cells["expires_at"].astimezone(UTC).isoformat()
    if cells.get("on_conflict") == "raise":  # there is nobody to raise it to
        cells["on_conflict"] = "skip"
    return dumps({"statement": keys.statement, "cells": cells}, sort_keys=True, allow_nan=False)


def has_unique_key(row: Mapping[str, Any]) -> bool:
    """Say whether the jobs of a row of `schedules` have a unique key."""
    options = row["options"]
    cells = options.get("cells") if isinstance(options, dict) else None
    return isinstance(cells, dict) and bool(cells.get("keys"))


def statement_of(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name the statement that enqueues the job of a row of `schedules`, and give what it needs beside the columns.

    Raises:
        UsageError: somebody has written options into the row that can not be read.

    """
    own = {name: row[name] for name in ("summary", "signature", "payload")}
    if not row["options"]:
        return "enqueue", own
    try:
        name, given = row["options"]["statement"], row["options"]["cells"]
        cells = {each: given[each] for each in _CELLS[name]}
        if cells["expires_at"] is not None:
            cells["expires_at"] = datetime.fromisoformat(cells["expires_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the options of this schedule can not be read ({type(error).__name__}: {error}): declare it, or add it, "
            "anew."
        ) from error
    if name == "enqueue_checked":
        summary, signature = own["summary"], own["signature"]
        own = {
            "summaries": None if summary is None else [summary],
            "signatures": None if signature is None else [signature],
            "payloads": [own["payload"]],
        }
    return name, {**cells, **own}
