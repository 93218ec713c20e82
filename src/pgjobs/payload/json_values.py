"""Values as JSON that comes back as it was."""

from __future__ import annotations

import json


def json_text(value: object) -> str:
    """Return a value in JSON.

    Raises:
        ValueError: JSON does not have it, or it would come back as something else; the message is the reason.

    """
    try:
        text = dumps(value)
        text.encode()
        kept = _same(json.loads(text), value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not kept:
        raise ValueError("it would come back as something else")
    return text


def dumps(value: object) -> str:
    """Write JSON as payloads have it.

    Raises:
        Exception: as `json.dumps`.

    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _same(back: object, value: object) -> bool:
    """Compare with what went in: tuples come back as lists, and keys that are numbers as strings."""
    if isinstance(back, list):
        return isinstance(value, list) and all(map(_same, back, value))
    if isinstance(back, dict):
        return isinstance(value, dict) and back.keys() == value.keys() and all(_same(back[k], value[k]) for k in back)
    return bool(back == value)
