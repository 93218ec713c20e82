"""`pgjobs tenants list|set|remove`."""

from __future__ import annotations

from typing import Annotated

import typer

from pgjobs.cli.arguments import Json
from pgjobs.cli.column import Column

app = typer.Typer(
    help="See and set how many turns a tenant gets for one of the others.", no_args_is_help=True, rich_markup_mode=None
)

COLUMNS = (Column("TENANT"), Column("WEIGHT", right=True), Column("SET"))
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a tenant.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the tenants that have a weight of their own; all others have 1."""
    from pgjobs import admin
    from pgjobs.cli.output import print_json, print_table, when
    from pgjobs.cli.session import session

    with session("tenants list") as conn:
        found = admin.list_tenants(conn)
    if as_json:
        print_json(found)
        return
    rows = [[tenant.name, f"{tenant.weight:g}", when(tenant.updated_at) or ""] for tenant in found]
    print_table(COLUMNS, rows, empty="All tenants have the same weight.")


@app.command("set")
def set_(
    name: Name,
    weight: Annotated[float, typer.Argument(metavar="WEIGHT", help="Turns for one of the others.", show_default=False)],
) -> None:
    """Give a tenant more turns than the others, or fewer: 2 is twice as many, 0.5 half of it."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("tenants set") as conn:
        admin.set_tenant_weight(conn, name, weight)
    say(f"{name} gets {weight:g} turns for one of the others.")


@app.command()
def remove(name: Name) -> None:
    """Let a tenant have as many turns as the others."""
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    with session("tenants remove") as conn:
        done = admin.remove_tenant_weight(conn, name)
    say(f"{name} gets as many turns as the others." if done else f"{name} had no weight of its own.")
