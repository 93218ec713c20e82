"""What a caller's connection can carry to its database: asked of the driver, without a query.

Not every database is in UTF-8. A summary, which need not be exact, is stored in characters that the database has, so
that it never fails an enqueue. A name, a key or meta that it lacks characters for is refused before anything is sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import EnqueueError
from pgjobs.core.text import shorten, shorten_repr
from pgjobs.db.encoding import TextEncoding, encoding_between, encoding_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pgjobs.db.enqueue_columns import EnqueueColumns

# What a text is to the caller that has to be stored as it is.
_EXACT = {"queue": "queue", "task": "job", "meta": "meta", "lane": "key", "lanes": "key", "keys": "unique key"}
_ROW_TEXTS = frozenset({"summary", "summaries", "lane", "lanes", "keys"})


def storable(columns: EnqueueColumns, values: Mapping[str, Any], driver_connection: Any) -> dict[str, Any]:
    """Return all parameters of an enqueue in characters that the connection can carry.

    If all of it is ASCII, as most is, nothing is asked.

    Raises:
        EnqueueError: a text that has to be exact has a character that the database lacks.

    """
    parameters = {**columns._asdict(), **values}
    meta = columns.meta
    if (
        columns.queue.isascii()
        and columns.task.isascii()
        and (meta is None or "\\u" not in meta)
        and all(_is_ascii(values[name]) for name in values if name in _ROW_TEXTS)
    ):
        return parameters
    encoding = encoding_between_ends(driver_connection)
    if encoding.database == "UTF8" and encoding.has_all:
        return parameters
    if meta is not None:
        parameters["meta"] = _in_characters(meta)
    for name, what in _EXACT.items():
        for text in _texts(parameters.get(name)):
            _check(encoding, what, text)
    if "summary" in values:
        parameters["summary"] = _stored(encoding, values["summary"])
    if values.get("summaries") is not None:
        parameters["summaries"] = [_stored(encoding, each) for each in values["summaries"]]
    return parameters


def encoding_between_ends(driver_connection: Any) -> TextEncoding:
    """Return what arrives in the database from this driver's connection; ASCII where that is not known."""
    try:
        driver = type(driver_connection).__module__.partition(".")[0]
        if driver == "asyncpg":  # UTF-8 on its own side, always
            return encoding_between("UTF8", driver_connection.get_settings().server_encoding)
        if driver == "psycopg2":
            server = driver_connection.get_parameter_status("server_encoding")
            return encoding_between(driver_connection.encoding, server)
        return encoding_of(driver_connection)  # psycopg; a subclass of its connections may be from anywhere
    except Exception:  # another driver; or a connection that is closed, which is said where it is used
        return encoding_between(None, None)


def _is_ascii(value: Any) -> bool:
    return value is None or (value if isinstance(value, str) else "".join(filter(None, value))).isascii()


def _texts(value: Any) -> Iterable[str]:
    return [value] if isinstance(value, str) else filter(None, value or ())


def _in_characters(meta: str) -> str:
    """Return JSON with its characters as they are: not every database reads escaped ones."""
    return json.dumps(json.loads(meta), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _check(encoding: TextEncoding, what: str, text: str) -> None:
    missing = encoding.missing(text)
    if missing is not None:
        raise EnqueueError(
            f"{what}={shorten_repr(text)} has a {missing!r}, which {encoding.database} lacks, the encoding of this "
            "connection or its database: use other characters there (arguments may have any)."
        )


def _stored(encoding: TextEncoding, summary: str | None) -> str | None:
    return None if summary is None else shorten(encoding.stored(summary))
