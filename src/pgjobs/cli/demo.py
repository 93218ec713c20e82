"""`pgjobs demo`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the database for a look around.")] = False,
) -> None:
    """Show the whole story in a minute.

    Indexes the Python standard library, on an embedded PostgreSQL.
    """
    # By a string: the demo is a neighbour on the same floor, and neighbours do not import one another.
    run_demo = import_module("pgjobs.demo").run_demo
    raise typer.Exit(run_demo(keep=keep))
