"""`pgjobs limits list|set|remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgjobs.cli.arguments import Burst, Concurrency, Json, NoLimit, Rate
from pgjobs.cli.column import Column

if TYPE_CHECKING:
    from pgjobs.admin import KeyLimit
    from pgjobs.flow.limits import Limit

app = typer.Typer(
    help="See and set how many jobs of a key run at once, and how fast.", no_args_is_help=True, rich_markup_mode=None
)

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


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the limits, who holds them and who waits for them.

    Below a pattern are its busiest keys. Of what waits, the first ten thousand jobs are counted.
    """
    from pgjobs import admin
    from pgjobs.cli.output import print_json, print_table
    from pgjobs.cli.session import session

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
    """Set the limit of a key, or of each key that a pattern stands for.

    What is not given is not limited; what runs already goes on. Code that declares the limit leaves it alone then.
    """
    from pgjobs import admin
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session

    limit = chosen(concurrency, rate, burst, none)
    with session("limits set") as conn:
        admin.set_limit(conn, name, limit)
    say(f"{name} has now: {limit}.")


@app.command()
def remove(name: Name) -> None:
    """Remove a limit. One that code declares comes back with the next worker: to lift it, use set NAME --none."""
    from pgjobs import admin
    from pgjobs.cli.output import note, say
    from pgjobs.cli.session import session
    from pgjobs.core.errors import NotFoundError

    with session("limits remove") as conn:
        declared = admin.remove_limit(conn, name)
    if declared is None:
        raise NotFoundError(f"There is no limit {name!r}: `pgjobs limits list` shows them.")
    say(f"{name} is removed.")
    if declared:
        lift = f"pgjobs limits set {name} --none"
        note(f"pgjobs: code declares it, so it comes back with the next worker; `{lift}` lifts it.")


def chosen(concurrency: int | None, rate: str | None, burst: float | None, none: bool) -> Limit:
    """Put the options together.

    Raises:
        UsageError: nothing was given, or --none and something else, or what can not be used.

    """
    from pgjobs.core.errors import UsageError
    from pgjobs.flow.limits import NO_LIMIT, make_limit

    given = not (concurrency is None and rate is None and burst is None)
    if none == given:
        raise UsageError("give --concurrency, --rate (with or without --burst) or both; or --none.")
    return NO_LIMIT if none else make_limit(concurrency, rate, burst)


def _lines(limit: KeyLimit) -> list[list[str]]:
    from pgjobs.admin.limits import limit_of

    one = len(limit.keys) == 1 and limit.keys[0].key == limit.name
    line = [
        limit.name,
        str(limit_of(limit.concurrency, limit.rate, limit.period_seconds, limit.burst)),
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
