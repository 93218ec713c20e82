"""A question before what can not be undone."""

from __future__ import annotations

import sys

import typer

from pgjobs.core.errors import UsageError


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere `--yes` must have been given.

    Raises:
        UsageError: nobody is there to be asked.
        typer.Abort: the answer was no.

    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question} Nobody is here to be asked: give --yes.")
    typer.confirm(question, abort=True, err=True)
