"""What a job in a child process leads to, as JSON and back: steps that it adds to its workflow, items of its pipeline.

The child runs the job, so the job controls what the child sends: a step may add what it likes, and to its own workflow
alone, as one in a thread may. What an item leads to are jobs, and what these are is for the job to say.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from pgjobs.flow.stage import NextItems
from pgjobs.flow.workflow_state import GrownSteps

_BYTES = ("payloads", "signatures")


def grown_to_json(grown: GrownSteps) -> dict[str, Any]:
    """Return it as JSON can have it."""
    return {
        "workflow": grown.workflow,
        "steps": grown.steps,
        "active": grown.active,
        "last": grown.last,
        "batches": [[_columns_out(columns), _coded(values, _encoded)] for columns, values in grown.batches],
    }


def grown_from_json(value: Any, step: int) -> GrownSteps:
    """Read it, for the step with this id.

    Raises:
        ValueError: it is nothing that a step could have added.

    """
    numbers = [value["workflow"], value["steps"], value["active"], *value["last"]]
    if any(type(number) is not int for number in numbers):
        raise ValueError("not what a step adds")
    # PostgreSQL reads times as they are written here.
    batches = [(columns, _coded(values, _decoded)) for columns, values in value["batches"]]
    for _, values in batches:
        if values["workflow"] != value["workflow"] or set(values["parents"]) != {step}:
            raise ValueError("not what this step adds")
    return GrownSteps(value["workflow"], value["steps"], value["active"], value["last"], batches)


def items_to_json(items: NextItems) -> dict[str, Any]:
    """Return them as JSON can have them."""
    coded = _coded({**items.rows, **items.common}, _encoded)
    common = {name: coded.pop(name) for name in items.common}
    return {"columns": _columns_out(items.columns), "common": common, "rows": coded}


def items_from_json(value: Any) -> NextItems:
    """Read them.

    Raises:
        ValueError: they are not items.

    """
    rows = _coded({**value["rows"], "expires_at": None}, _decoded)
    del rows["expires_at"]
    if len({len(values) for values in rows.values()}) != 1:
        raise ValueError("not items")
    return NextItems(value["columns"], value["common"], rows)


def _columns_out(columns: dict[str, Any]) -> dict[str, Any]:
    run_at = columns["run_at"]
    return {**columns, "run_at": None if run_at is None else run_at.isoformat()}


def _coded(values: dict[str, Any], change: Any) -> dict[str, Any]:
    changed = {name: None if values[name] is None else [change(item) for item in values[name]] for name in _BYTES}
    expires = values["expires_at"]
    text = expires if expires is None or isinstance(expires, str) else expires.isoformat()
    return {**values, **changed, "expires_at": text}


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)
