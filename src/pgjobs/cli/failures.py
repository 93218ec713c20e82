"""What the command line prints about an error: one line, and the exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from typing import Any, NamedTuple

from pgjobs.cli.output import note
from pgjobs.core.config import settings
from pgjobs.core.errors import NewerTablesError, PgjobsError, UsageError
from pgjobs.core.text import escape_controls
from pgjobs.db.url import mask, redact

# How Typer, since it asks pydantic, says what is wrong with a value.
_OF_PYDANTIC = re.compile(
    r"(?<=: )(?:Value error, |Input should be "
    r"(?:a valid (?P<kind>integer|number)[^.]*|(?P<bound>greater|less) than or equal to (?P<number>[\d.]*\d)))"
)
NEWER_TABLES = 3  # exit code: what starts workers again has no reason to
LINE_LIMIT = 600  # characters; a message may repeat an argument of any length


class Failure(NamedTuple):
    """`message`: None if nothing is to be printed."""

    code: int
    message: str | None


def failure_of(error: BaseException) -> Failure:
    """Return the exit code and the line for an error of pgjobs, Typer, PostgreSQL, the system, or any other."""
    if isinstance(error, UsageError):
        return Failure(2, _line(error))
    if isinstance(error, NewerTablesError):
        return Failure(NEWER_TABLES, _line(error))
    if isinstance(error, PgjobsError):
        return Failure(1, _line(error))
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return _of_command_line(error)
    if type(error).__name__ == "Abort":  # the answer to a question was no, or missing
        return Failure(1, "nothing was done.")
    # psycopg is not imported for this: without it, the error is not from psycopg.
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.Error):
        return _of_database(error)
    if isinstance(error, OSError):
        return Failure(1, _line(error))
    return Failure(
        1, f"unexpected {type(error).__name__}: {_line(error)} (run it again with --debug for the traceback)"
    )


def explain(error: BaseException, *, debug: bool) -> int:
    """Write one line (or a traceback) to stderr, and return the exit code."""
    failure = failure_of(error)
    if debug and failure.code == 1:
        text = mask("".join(traceback.format_exception(error)))
        sys.stderr.write(escape_controls(redact(text, _database_url())))
    elif failure.message:
        note(f"pgjobs: {failure.message}")
    return failure.code


def _database_url() -> str:
    try:
        return settings().database_url or ""
    except UsageError:  # perhaps the error to explain
        return os.environ.get("PGJOBS_DATABASE_URL", "")


def _of_command_line(error: Any) -> Failure:
    """Explain wrong usage that Typer found: its message, and the command that shows help."""
    message: str = error.format_message()
    code: int = error.exit_code
    if type(error).__name__ == "NoArgsIsHelpError":  # the message is the whole help text
        sys.stderr.write(f"{message}\n")
        return Failure(code, None)
    command = getattr(getattr(error, "ctx", None), "command_path", "pgjobs")
    if type(error).__name__ == "NoSuchOption":
        from pgjobs.cli.other_names import option_hint  # imported lazily: only wrong names need it

        hint = option_hint(command, error.option_name)
        message = f"{error.message}: {hint}" if hint else message
    line = _line(_OF_PYDANTIC.sub(_plain, message, count=1))
    return Failure(code, f"{line}{'' if line[-1] in '.?!' else '.'} See `{command} --help`.")


def _plain(found: re.Match[str]) -> str:
    if found["kind"]:
        return f"give a {'whole ' * (found['kind'] == 'integer')}number"
    if found["bound"]:
        return f"give {found['number']} or {'more' if found['bound'] == 'greater' else 'less'}"
    return ""


def _of_database(error: BaseException) -> Failure:
    from psycopg import errors  # imported lazily, as above

    line = _line(error)
    if isinstance(error, errors.InsufficientPrivilege):
        return Failure(1, f"the database role may not do this: {line}.")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return Failure(1, f"this server is read-only: {line}. Is it a replica?")
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.InvalidSchemaName):
        return Failure(1, f"the tables do not fit this version: {line}. Run `pgjobs migrate`.")
    if isinstance(error, errors.OperationalError | errors.InterfaceError):
        return Failure(1, f"the database connection failed: {line}")
    return Failure(1, f"PostgreSQL refused: {line}")


def _line(error: object) -> str:
    """Return one line, without passwords. The first line of a PostgreSQL message is enough: the rest is context."""
    text = mask(str(error)).strip()
    if not text:
        return type(error).__name__
    line = text.splitlines()[0] if hasattr(error, "sqlstate") else " ".join(text.split())
    return line if len(line) <= LINE_LIMIT else f"{line[: LINE_LIMIT - 1]}…"
