"""`pgjobs`: the entry point, global options, and exit codes.

Exit codes: 0 ok, 1 a failure that is explained in one line, 2 wrong usage, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pgjobs.cli.commands import CommandTable
from pgjobs.cli.invocation import invocation
from pgjobs.core.config import configure
from pgjobs.core.errors import UsageError
from pgjobs.core.standard_files import open_standard_files
from pgjobs.core.text import shorten_repr
from pgjobs.core.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 128 + signal.SIGINT

# Options of all commands, which may also follow the command, and whether they take a value.
GLOBAL_OPTIONS = {"--database-url": True, "--schema": True, "--embedded": False, "--debug": False}

# No rich in help texts: importing it would take as long as everything else together.
app = typer.Typer(
    name="pgjobs",
    cls=CommandTable,
    help="Run background jobs from PostgreSQL. The database is --database-url or PGJOBS_DATABASE_URL, or the "
    "embedded PostgreSQL that `pgjobs db start` runs in ./.pgjobs/.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pgjobs {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    database_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="PostgreSQL, as a libpq or SQLAlchemy URL. [env: PGJOBS_DATABASE_URL]"),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The schema of the tables (default pgjobs). [env: PGJOBS_SCHEMA]"),
    ] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Use an embedded PostgreSQL in ./.pgjobs/, started for this command.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Apply the global options to the settings of this process."""
    if embedded and database_url is not None:
        raise UsageError("--embedded and --database-url were both given: use one of them.")
    invocation.embedded = embedded
    if context.invoked_subcommand == "work":
        from pgjobs.cli.pyproject import defaults  # imported lazily: no other command reads the file

        context.default_map = {"work": defaults(Path.cwd())}
    given = {"database_url": database_url, "schema": schema}
    configure(**{name: value for name, value in given.items() if value is not None})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Exceptions become one line, or a traceback with `--debug`."""
    open_standard_files()
    invocation.alone = argv is None
    arguments = hoist(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that only knows ASCII gets escapes
    try:
        try:
            _check_text(arguments)
            result: Any = app(arguments, prog_name="pgjobs", standalone_mode=False)
            sys.stdout.flush()
        except (BrokenPipeError, KeyboardInterrupt):
            raise
        except SystemExit as error:
            if isinstance(error.__context__, BrokenPipeError):  # Typer turns one into SystemExit
                raise BrokenPipeError from error
            raise
        except BaseException as error:
            from pgjobs.cli.failures import explain  # imported lazily: most commands do not fail

            return explain(error, debug="--debug" in arguments)
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        # `pgjobs … | head` has read what it wanted. Nothing is left to flush at exit.
        _silence(sys.stdout)
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _check_text(arguments: Sequence[str]) -> None:
    """Refuse arguments that neither a database nor a terminal accepts.

    Raises:
        UsageError: an argument is not UTF-8, or contains a NUL.

    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"the argument {shorten_repr(argument)} is not text in UTF-8.") from None
        if "\0" in argument:
            raise UsageError(f"the argument {shorten_repr(argument)} contains a NUL.")


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move the global options to the front, wherever they were given.

    >>> hoist(["jobs", "list", "--schema", "other", "--json"])
    ['--schema', 'other', 'jobs', 'list', '--json']

    """
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, _ = argument.partition("=")
        if argument == "--":
            return [*front, *rest, argument, *waiting]
        if name not in GLOBAL_OPTIONS:
            rest.append(argument)
            continue
        front.append(argument)
        if GLOBAL_OPTIONS[name] and not equals:
            front += [value for value in [next(waiting, None)] if value is not None]
    return front + rest


def _silence(stream: Any) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, cast("int", stream.fileno()))
    finally:
        os.close(nowhere)
