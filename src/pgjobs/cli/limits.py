"""`pgjobs limits list|set|remove` and `pgjobs tenants list|set|remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgjobs import admin
from pgjobs.cli.commands import command_group
from pgjobs.cli.listing import print_list
from pgjobs.cli.output import Column, note, print_json, print_table, say, when
from pgjobs.cli.params import Burst, Concurrency, Json, NoLimit, Rate
from pgjobs.cli.session import session
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.flow.limits import NO_LIMIT, LimitSettings, make_limit

if TYPE_CHECKING:
    from pgjobs.admin import KeyLimit
    from pgjobs.flow.limits import LimitSettings

app = command_group()
tenants = command_group()

COLUMNS = (
    Column("LIMIT"),
    Column("HAS"),
    Column("RUNNING", right=True),
    Column("WAITING", right=True),
    Column("TOKENS", right=True),
    Column("SET BY"),
)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A key, or a pattern such as 'tenant:*'.", show_default=False)
]

TENANT_COLUMNS = (Column("TENANT"), Column("WEIGHT", right=True), Column("SET"))
Tenant = Annotated[str, typer.Argument(metavar="NAME", help="Name of a tenant.", show_default=False)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the limits, and how many jobs run and wait under them.

    A pattern is followed by its busiest keys. At most ten thousand waiting jobs are counted.
    """
    with session("limits list") as conn:
        found = admin.list_limits(conn)
    if as_json:
        print_json(found)
        return
    print_table(COLUMNS, [line for limit in found for line in _lines(limit)], empty="No limit is set.")


@app.command("set")
def set_(
    name: Name, concurrency: Concurrency = None, rate: Rate = None, burst: Burst = None, none: NoLimit = False
) -> None:
    """Set the limit of a key, or of each key that matches a pattern.

    An option that is not given sets no limit. Running jobs are not affected. Code that declares the limit no longer
    changes it.
    """
    limit = chosen(concurrency, rate, burst, none)
    with session("limits set") as conn:
        admin.set_limit(conn, name, limit)
    say(f"{name} now has: {limit}.")


@app.command()
def remove(name: Name) -> None:
    """Remove a limit. If code declares it, the next worker sets it again: to lift it, use set NAME --none."""
    with session("limits remove") as conn:
        declared = admin.remove_limit(conn, name)
    if declared is None:
        raise NotFoundError(f"There is no limit {name!r}: `pgjobs limits list` shows them.")
    say(f"{name} is removed.")
    if declared:
        lift = f"pgjobs limits set {name} --none"
        note(f"pgjobs: code declares it, so the next worker sets it again; `{lift}` lifts it.")


@tenants.command("list")
def list_tenants(as_json: Json = False) -> None:
    """List the tenants that have a weight of their own; all others have 1."""
    with session("tenants list") as conn:
        found = admin.list_tenants(conn)
    print_list(
        found,
        TENANT_COLUMNS,
        lambda tenant: [tenant.name, f"{tenant.weight:g}", when(tenant.updated_at) or ""],
        empty="All tenants have the same weight.",
        as_json=as_json,
    )


@tenants.command("set")
def set_tenant(
    name: Tenant,
    weight: Annotated[float, typer.Argument(metavar="WEIGHT", help="Turns for one of the others.", show_default=False)],
) -> None:
    """Set how many turns a tenant gets for one of the others: 2 is twice as many, 0.5 half as many."""
    with session("tenants set") as conn:
        admin.set_tenant_weight(conn, name, weight)
    say(f"{name} gets {weight:g} turns for one of the others.")


@tenants.command("remove")
def remove_tenant(name: Tenant) -> None:
    """Remove a weight: the tenant gets as many turns as the others."""
    with session("tenants remove") as conn:
        done = admin.remove_tenant_weight(conn, name)
    say(f"{name} gets as many turns as the others." if done else f"{name} had no weight of its own.")


def chosen(concurrency: int | None, rate: str | None, burst: float | None, none: bool) -> LimitSettings:
    """Return the limit that the options describe.

    Raises:
        UsageError: none of them was given, or --none and another one, or a value is invalid.

    """
    given = not (concurrency is None and rate is None and burst is None)
    if none == given:
        raise UsageError("give --concurrency, --rate (with or without --burst) or both; or --none.")
    return NO_LIMIT if none else make_limit(concurrency, rate, burst)


def _lines(limit: KeyLimit) -> list[list[str]]:
    one = len(limit.keys) == 1 and limit.keys[0].key == limit.name
    line = [
        limit.name,
        str(LimitSettings.of_columns(limit.concurrency, limit.rate, limit.period_seconds, limit.burst)),
        f"{limit.running:,}",
        f"{limit.waiting:,}{'+' if limit.waiting_capped else ''}",
        _tokens(limit.keys[0].tokens) if one else "",
        limit.set_by,
    ]
    if one:
        return [line]
    keys = [[f"  {key.key}", "", f"{key.running:,}", f"{key.waiting:,}", _tokens(key.tokens), ""] for key in limit.keys]
    return [line, *keys]


def _tokens(tokens: float | None) -> str:
    return "" if tokens is None else f"{tokens:.1f}"
