"""`meta=`: a small JSON object that travels with a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr

MAX_META = 4096  # bytes, as PostgreSQL writes it


def check_meta(meta: object) -> dict[str, Any] | None:
    """Return a copy of a JSON object that the column can hold, made of plain values; None for an empty one.

    Raises:
        UsageError: it is not a JSON object, holds what JSON or PostgreSQL does not have, or is too large.

    """
    if meta is None:
        return None
    if not issubclass(type(meta), Mapping):
        raise UsageError(f'meta={shorten_repr(meta)}: give a dict, such as {{"user": 7}}.')
    try:
        given = dict(meta)  # type: ignore[call-overload]  # a mapping
        text = json.dumps(given, allow_nan=False)
        copy: dict[str, Any] = json.loads(text)
        is_same = copy == given and "\\u0000" not in text
        size = meta_size(copy)
    except Exception as error:  # not JSON, half of a surrogate pair, nested too deeply; or a mapping that raises
        raise UsageError(
            f"meta={shorten_repr(meta)} cannot be written as JSON ({type(error).__name__}: {error}): give strings, "
            "numbers, booleans, None, lists and dicts."
        ) from error
    if not is_same:
        raise UsageError(
            f"meta={shorten_repr(meta)} would come back as something else: give strings without NUL, numbers, "
            "booleans, None, lists, and dicts with strings as keys."
        )
    if size > MAX_META:
        raise UsageError(
            f"meta={shorten_repr(meta)} is too large: {size:,} bytes, the maximum is {MAX_META:,}. Store the data "
            "elsewhere, and a reference to it here."
        )
    return copy or None


def meta_size(meta: Mapping[str, Any]) -> int:
    """Return how many bytes PostgreSQL writes for a JSON object.

    >>> meta_size({"user": "é"})
    14

    """
    return len(json.dumps(_expanded(dict(meta)), ensure_ascii=False).encode())


def merge_meta(first: Mapping[str, Any] | None, second: object) -> dict[str, Any] | None:
    """Return both as one object; where they have the same key, the second one's value counts.

    Raises:
        UsageError: as `check_meta`, of the second one or of both together.

    """
    added = check_meta(second)
    if not first or added is None:
        return added or (dict(first) if first else None)
    return check_meta({**first, **added})


def has_meta(meta: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Return True if an object has these keys with these values. A text also means what it is in JSON.

    >>> has_meta({"user": 7, "team": "shop"}, {"user": "7"}), has_meta({"user": 7}, {"user": 8})
    (True, False)

    """
    return all(key in (meta or {}) and _means((meta or {})[key], value) for key, value in wanted.items())


def _means(value: object, wanted: object) -> bool:
    if isinstance(wanted, str) and not isinstance(value, str):
        try:
            wanted = json.loads(wanted)
        except ValueError:
            return False
    return json.dumps(_canonical(value), sort_keys=True) == json.dumps(_canonical(wanted), sort_keys=True)


def meta_text(meta: Mapping[str, Any] | None) -> str | None:
    """Return the text of a meta object, in ASCII: the same before it is stored and after it is read back.

    >>> meta_text({"b": 1.0, "a": [1e22, -0.0, 0.5]})
    '{"a":[10000000000000000000000,0,0.5],"b":1}'

    """
    return json.dumps(_canonical(meta), sort_keys=True, separators=(",", ":")) if meta else None


def _expanded(value: Any) -> Any:
    """Return the value with floats as PostgreSQL writes them: all their digits, without an exponent."""
    if isinstance(value, dict):
        return {key: _expanded(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(map(_expanded, value))
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else value


def _canonical(value: Any) -> Any:
    """PostgreSQL keeps numbers as decimals: 1e22 comes back as a whole number, and -0.0 as 0."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(map(_canonical, value))
    return int(value) if isinstance(value, float) and value.is_integer() else value
