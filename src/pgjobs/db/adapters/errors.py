"""Errors of an enqueue that pgjobs can explain."""

from __future__ import annotations

from typing import NoReturn

from pgjobs.core.errors import EnqueueError, SchemaError

_MISSING = ("42P01", "3F000")  # SQLSTATE: no such table, no such schema
_LACKING = ("22P05", "22021")  # a character that the encoding lacks; bytes that are none of it


def translate_error(error: Exception) -> NoReturn:
    """Raise the error again, as one of pgjobs if the tables are missing, or characters that the database lacks.

    Raises:
        SchemaError: the tables are missing.
        EnqueueError: a text has characters that the database lacks.
        Exception: the error, whatever it is.

    """
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state in _MISSING:
        raise SchemaError(
            "this database has no tables of pgjobs (or PGJOBS_SCHEMA names another schema): run `pgjobs migrate`."
        ) from error
    if state in _LACKING or isinstance(cause, UnicodeEncodeError):
        reason = str(cause).strip().partition("\n")[0]
        raise EnqueueError(
            f"the encoding of this connection or its database lacks a character of the queue, a key, meta or the name "
            f"of the job ({reason}): use others there (arguments may have any)."
        ) from error
    raise error
