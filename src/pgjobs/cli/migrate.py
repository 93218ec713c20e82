"""`pgjobs migrate`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from pgjobs.cli.invocation import invocation
from pgjobs.cli.output import say
from pgjobs.cli.params import Yes, confirm
from pgjobs.core.config import settings
from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.db import migrations
from pgjobs.db.choose_database import database
from pgjobs.db.migrations import connect
from pgjobs.db.roles import make_roles, role_statements
from pgjobs.db.url import describe


def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False,
    downgrade: Annotated[
        str | None, typer.Option("--downgrade", metavar="REV", help="Go back to a revision; `base` drops all tables.")
    ] = None,
    roles: Annotated[
        bool, typer.Option("--roles", help="Also create database roles with the least rights: enqueue, work, read.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Create or upgrade the tables. Safe to run again, also from several places at once."""
    schema = settings().schema
    if roles and downgrade is not None:
        raise UsageError("--roles and --downgrade were both given: use one of them.")
    if downgrade is not None and not (downgrade == "base" or re.fullmatch(r"[0-9]{4}|-[1-9]", downgrade)):
        raise UsageError(
            f"{shorten_repr(downgrade)} is not a revision to go back to: give base, one such as 0001, or -1."
        )
    if sql:
        if downgrade is not None:
            raise UsageError("--sql and --downgrade were both given: use one of them.")
        migrations.sql(settings().database_url)
        if roles:
            for line in "".join(f"{statement};\n" for statement in role_statements()).splitlines():
                say(line)
        return

    with database(embedded=invocation.embedded) as url:
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
        made = _make_roles(url) if roles else None
    if after == before:
        say(f"The tables in {schema} of {describe(url)} are at revision {after or 'none'} already.")
    else:
        say(f"The tables in {schema} of {describe(url)} went from revision {before or 'none'} to {after or 'none'}.")
    if made:
        say(f"The roles {', '.join(made)} exist and have the rights that they need: GRANT them to your own roles.")


def _make_roles(url: str) -> tuple[str, ...]:
    with connect(url) as connection:
        return make_roles(connection)
