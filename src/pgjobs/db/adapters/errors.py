"""Errors of an enqueue that pgjobs can explain."""

from __future__ import annotations

from typing import NoReturn

from pgjobs.core.errors import EnqueueError, SchemaError

_MISSING = ("42P01", "3F000")  # SQLSTATE: no such table, no such schema
_LACKING = ("22P05", "22021")  # a character that the encoding lacks; bytes that are none of it
_KEPT_OUT = "has kept a job out"  # as the function enqueue_after_checks says it, of a trigger
_TAKEN_ID = ("jobs_live_pkey", "jobs_waiting_pkey", "dependencies_pkey")


def kept_out(inserted: int, wanted: int) -> EnqueueError:
    """Return the error for jobs that were not inserted, although PostgreSQL reported none."""
    what = "the job was not inserted" if wanted == 1 else f"only {inserted} of {wanted} jobs were inserted"
    return EnqueueError(
        f"{what}: a trigger or rule on the table of jobs keeps rows out. Roll back; `pgjobs doctor` names the trigger."
    )


def sqlstate_of(error: BaseException) -> str | None:
    """Return PostgreSQL's code for an error of a driver, or of SQLAlchemy or Django around it; None: it has none."""
    for each in (getattr(error, "orig", None) or error, error.__cause__):
        state: str | None = getattr(each, "sqlstate", None) or getattr(each, "pgcode", None)
        if state is not None:
            return state
    return None


def translate_error(error: Exception) -> NoReturn:
    """Raise the error again, as one of pgjobs if it can say what is in the way.

    Raises:
        SchemaError: the tables are missing.
        EnqueueError: a text has characters that the database lacks, a trigger or policy keeps the row out, or its id
            is in use.
        Exception: the error, whatever it is.

    """
    cause = getattr(error, "orig", None) or error
    state = sqlstate_of(error)
    if state in _MISSING:
        raise SchemaError(
            "this database has no tables of pgjobs (or PGJOBS_SCHEMA names another schema): run `pgjobs migrate`."
        ) from error
    if state == "42883" and "publish_event" in str(cause):
        raise SchemaError("the tables of this database are older than events: run `pgjobs migrate`.") from error
    if state in _LACKING or isinstance(cause, UnicodeEncodeError):
        reason = str(cause).strip().partition("\n")[0]
        raise EnqueueError(
            f"the encoding of this connection or its database lacks a character of the queue, a key, meta or the name "
            f"of the job ({reason}): use others there (arguments may have any)."
        ) from error
    if state == "09000" and _KEPT_OUT in str(cause):
        raise kept_out(0, 1) from error
    if state == "42501" and "row-level security" in str(cause):
        raise EnqueueError(
            "row-level security on the table of jobs lets this role insert none: let it bypass that (BYPASSRLS), or "
            "give it a policy that lets it insert jobs, and see their ids."
        ) from error
    if state == "23505" and any(name in str(cause) for name in _TAKEN_ID):
        raise EnqueueError(
            "the id that the job was given is in use: the sequence of ids is behind the tables, as after a restore or "
            "a move. Roll back; a worker that starts moves the sequence on, and `pgjobs doctor` says how to."
        ) from error
    raise error
