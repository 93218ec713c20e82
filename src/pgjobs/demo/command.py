"""`pgjobs demo`."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database, to look around in it.")] = False,
) -> None:
    """Show the whole story in a minute.

    Indexes the Python standard library, on an embedded PostgreSQL.
    """
    from pgjobs.demo.story import run_demo  # imported lazily: its help needs neither PostgreSQL nor rich

    raise typer.Exit(run_demo(keep=keep))
