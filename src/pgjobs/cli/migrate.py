"""`pgjobs migrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from pgjobs.cli.arguments import Yes
from pgjobs.settings import settings


def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False,
    downgrade: Annotated[
        str | None, typer.Option("--downgrade", metavar="REV", help="Go back to a revision; `base` drops all tables.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Create or upgrade the tables. Safe to run again, and from many places at once."""
    from pgjobs.cli.confirm import confirm
    from pgjobs.cli.output import say
    from pgjobs.db import migrate as migrations
    from pgjobs.db.url import describe
    from pgjobs.errors import UsageError

    schema = settings().schema
    if sql:
        if downgrade is not None:
            raise UsageError("--sql and --downgrade were both given: use one of them.")
        migrations.sql(settings().database_url)
        return

    from pgjobs.db.database import database

    with database(settings().database_url) as url:
        if downgrade is not None:
            what = (
                "drops all tables, with every job in them" if downgrade == "base" else "may drop what was added since"
            )
            confirm(f"Going back to {downgrade} {what}: {schema} in {describe(url)}. Go on?", yes=yes)
            before = migrations.current(url)
            migrations.downgrade(url, downgrade)
        else:
            before = migrations.current(url)
            migrations.upgrade(url)
        after = migrations.current(url)
    if after == before:
        say(f"The tables in {schema} of {describe(url)} were at revision {after or 'none'} already.")
    else:
        say(f"The tables in {schema} of {describe(url)} went from revision {before or 'none'} to {after or 'none'}.")
