"""Errors of an enqueue that pgjobs can explain."""

from __future__ import annotations

from typing import NoReturn

from pgjobs.core.errors import SchemaError

_MISSING = ("42P01", "3F000")  # SQLSTATE: no such table, no such schema


def translate_error(error: Exception) -> NoReturn:
    """Raise the error again, as a SchemaError if the tables are missing.

    Raises:
        SchemaError: the tables are missing.
        Exception: the error, whatever it is.

    """
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state in _MISSING:
        raise SchemaError(
            "this database has no tables of pgjobs (or PGJOBS_SCHEMA names another schema): run `pgjobs migrate`."
        ) from error
    raise error
