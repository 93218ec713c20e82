"""Which characters a connection can carry to its database: asked of the driver, without a query.

Not every database is in UTF-8. A summary, which need not be exact, is stored in characters that the database has, so
that it never fails an enqueue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMON_ENCODING = "ascii"  # every encoding of PostgreSQL has it


def with_storable_summaries(values: Mapping[str, Any], driver_connection: Any) -> Mapping[str, Any]:
    """Return the parameters of an enqueue with summaries that the connection can carry; the rest is escaped.

    If all of it is ASCII, as most is, nothing is asked and nothing copied.
    """
    if "summaries" in values:
        summaries = values["summaries"]
        if summaries is None or "".join(filter(None, summaries)).isascii():
            return values
        codec = codec_of(driver_connection)
        return values if codec == "utf-8" else {**values, "summaries": [_escaped(each, codec) for each in summaries]}
    summary = values["summary"]
    if summary is None or summary.isascii():
        return values
    codec = codec_of(driver_connection)
    return values if codec == "utf-8" else {**values, "summary": _escaped(summary, codec)}


def codec_of(driver_connection: Any) -> str:
    """Name Python's codec for what both the connection and its database have; ASCII where that is not known."""
    try:
        driver = type(driver_connection).__module__.partition(".")[0]
        if driver == "asyncpg":  # UTF-8 on its own side, always
            return "utf-8" if driver_connection.get_settings().server_encoding == "UTF8" else _COMMON_ENCODING
        if driver == "psycopg2":
            both = {driver_connection.encoding, driver_connection.get_parameter_status("server_encoding")}
            return "utf-8" if both == {"UTF8"} else _COMMON_ENCODING
        info = driver_connection.info  # psycopg; a subclass of its connections may be from anywhere
        client, server = info.parameter_status("client_encoding"), info.parameter_status("server_encoding")
        return str(info.encoding) if server in ("UTF8", client) else _COMMON_ENCODING
    except Exception:  # another driver; or a connection that is closed, which is said where it is used
        return _COMMON_ENCODING


def _escaped(summary: str | None, codec: str) -> str | None:
    from pgjobs.core.text import shorten

    return None if summary is None else shorten(summary.encode(codec, "backslashreplace").decode(codec))
