"""A digest of values that is the same for equal ones, in every process and version of Python.

A pickle is not: it depends on which of two equal strings are one object. So plain values are written down here with
their kind, and what has no order gets one. Everything else cannot be compared, and is refused.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pgjobs.core.errors import UsageError

_BY_TEXT = (Decimal, UUID, date, time)


def digest(value: object) -> str:
    """Return 40 hexadecimal digits for a value made of plain ones, collections, dataclasses and enums.

    Raises:
        UsageError: there is something else in it.

    """
    try:
        return sha256(_written(value)).hexdigest()[:40]
    except RecursionError:
        raise UsageError("the values are nested too deeply to be compared: give a key of your own.") from None


def _written(value: Any) -> bytes:
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is float:
        return _field(kind.__name__, b"%x" % value if kind is int else repr(value).encode())
    if kind is str:
        return _field("str", value.encode("utf-8", "surrogatepass"))
    if kind is bytes or kind is bytearray:
        return _field("bytes", bytes(value))
    if kind is list or kind is tuple:  # one travels as the other in JSON
        return _field("list", b"".join(map(_written, value)))
    if kind is dict:
        pairs = sorted((_written(key), _written(item)) for key, item in value.items())
        return _field("dict", b"".join(key + item for key, item in pairs))
    if kind is set or kind is frozenset:
        return _field("set", b"".join(sorted(map(_written, value))))
    if kind is datetime and value.tzinfo is not None:  # the same moment, wherever it is told
        return _field("moment", value.astimezone(UTC).isoformat().encode())
    if kind is datetime or kind in _BY_TEXT:
        return _field(kind.__name__, str(value).encode())
    if kind is timedelta:
        return _field("timedelta", str(value // timedelta(microseconds=1)).encode())
    if isinstance(value, PurePath):
        return _field("path", str(value).encode("utf-8", "surrogatepass"))
    name = f"{kind.__module__}:{kind.__qualname__}"
    if issubclass(kind, Enum):
        return _field(name, value.name.encode())
    if is_dataclass(kind):
        return _field(name, b"".join(_written(getattr(value, field.name)) for field in fields(value) if field.compare))
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _field("list", b"".join(map(_written, tuple(value))))
    if issubclass(kind, type):
        return _field("class", f"{value.__module__}:{value.__qualname__}".encode())
    raise UsageError(
        f"a {kind.__name__} cannot be compared with another one, so Unique.by('args') has no key for it: name one, as "
        "in unique='invoice:{id}'."
    )


def _field(kind: str, content: bytes) -> bytes:
    return b"%s %d %s" % (kind.encode(), len(content), content)  # with its length: nothing runs into the next
