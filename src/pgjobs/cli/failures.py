"""What a user is told about an error: one line, and the exit code."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

from pgjobs.core.config import settings
from pgjobs.core.errors import PgjobsError, UsageError
from pgjobs.db.url import mask, redact

LINE_LIMIT = 600  # characters: what was typed may be repeated, and may be of any length


class Failure(NamedTuple):
    """`message` is None where nothing is to be said."""

    code: int
    message: str | None


def failure_of(error: BaseException) -> Failure:
    """Explain an error: ours, the command line's, PostgreSQL's, the system's, and those that nobody expected."""
    if isinstance(error, UsageError):
        return Failure(2, _line(error))
    if isinstance(error, PgjobsError):
        return Failure(1, _line(error))
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return _of_command_line(error)
    if type(error).__name__ == "Abort":  # a question was answered with no, or not at all
        return Failure(1, "nothing was done.")
    # An error of psycopg can only come where psycopg was imported.
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.Error):
        return _of_database(error)
    if isinstance(error, OSError):
        return Failure(1, _line(error))
    return Failure(
        1, f"unexpected {type(error).__name__}: {_line(error)} (run it again with --debug for the traceback)"
    )


def explain(error: BaseException, *, debug: bool) -> int:
    """Write one line (or a traceback) to stderr, and give the exit code."""
    failure = failure_of(error)
    if debug and failure.code == 1:
        import traceback

        text = mask("".join(traceback.format_exception(error)))
        sys.stderr.write(redact(text, _database_url()))
    elif failure.message:
        from pgjobs.cli.output import note

        note(f"pgjobs: {failure.message}")
    return failure.code


def _database_url() -> str:
    try:
        return settings().database_url or ""
    except UsageError:  # that was the error, perhaps
        return os.environ.get("PGJOBS_DATABASE_URL", "")


def _of_command_line(error: Any) -> Failure:
    """Wrong usage, found by the CLI library: its message, and where to read on."""
    message: str = error.format_message()
    code: int = error.exit_code
    if type(error).__name__ == "NoArgsIsHelpError":  # the message is the whole help text
        sys.stderr.write(f"{message}\n")
        return Failure(code, None)
    command = getattr(getattr(error, "ctx", None), "command_path", "pgjobs")
    line = _line(message)
    return Failure(code, f"{line}{'' if line[-1] in '.?!' else '.'} See `{command} --help`.")


def _of_database(error: BaseException) -> Failure:
    from psycopg import errors

    line = _line(error)
    if isinstance(error, errors.InsufficientPrivilege):
        return Failure(1, f"the database role may not do this: {line}.")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return Failure(1, f"this server is read-only: {line}. Is it a replica?")
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.InvalidSchemaName):
        return Failure(1, f"the tables are not those of this version: {line}. Run `pgjobs migrate`.")
    if isinstance(error, errors.OperationalError | errors.InterfaceError):
        return Failure(1, f"the database connection failed: {line}")
    return Failure(1, f"PostgreSQL refused: {line}")


def _line(error: object) -> str:
    """One line, without passwords. Of a PostgreSQL message the lines after the first are only its context."""
    text = mask(str(error)).strip()
    if not text:
        return type(error).__name__
    line = text.splitlines()[0] if hasattr(error, "sqlstate") else " ".join(text.split())
    return line if len(line) <= LINE_LIMIT else f"{line[: LINE_LIMIT - 1]}…"
