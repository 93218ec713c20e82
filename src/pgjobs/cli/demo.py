"""`pgjobs demo`."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the database for a look around.")] = False,
) -> None:
    """Show the whole story in a minute.

    Indexes the Python standard library, on an embedded PostgreSQL.
    """
    from pgjobs.demo import run_demo

    raise typer.Exit(run_demo(keep=keep))
