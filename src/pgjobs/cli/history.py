"""`pgjobs history list|keep`, and what `pgjobs dead keep` has in common with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from pgjobs.cli.arguments import Days, Json, Yes
from pgjobs.cli.column import Column

if TYPE_CHECKING:
    from pgjobs.admin import HistoryDay

app = typer.Typer(
    help="See the days of history, and say how long they are kept.", no_args_is_help=True, rich_markup_mode=None
)

COLUMNS = (Column("DAY"), Column("JOBS", right=True), Column("SIZE", right=True), Column("KEPT UNTIL"))


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the days of history, and how long they are kept.

    Days are those of UTC. The number of jobs is about right: it is what PostgreSQL counted last.
    """
    from pgjobs import admin
    from pgjobs.cli.output import print_json, print_table, say
    from pgjobs.cli.session import session

    with session("history list") as conn:
        kept = admin.show_retention(conn)
        found = admin.list_history(conn)
    if as_json:
        print_json({**asdict(kept), "days": found})
        return
    print_table(COLUMNS, [_row(day) for day in found], empty="No day of history was made yet.")
    say(f"Finished jobs are kept {spell(kept.history_days)}, dead letters {spell(kept.dead_letter_days)}.")


@app.command()
def keep(days: Days, yes: Yes = False) -> None:
    """Keep finished jobs for so many days.

    The same for all workers. They drop whole days (UTC) when everything in them is older. Dead letters stay.
    """
    from pgjobs import admin
    from pgjobs.cli.confirm import confirm
    from pgjobs.cli.output import say
    from pgjobs.cli.session import session
    from pgjobs.core.text import plural

    number = parse_days(days)
    with session("history keep") as conn:
        if number is not None and (old := admin.list_expired_days(conn, number)):
            confirm(f"Drop {plural(len(old), 'day')} of history, from {old[0]} to {old[-1]}?", yes=yes)
        admin.keep_history(conn, number)
    say(f"Finished jobs are kept {spell(number)}.")


def parse_days(text: str) -> int | None:
    """Read a number of days, or `forever`.

    Raises:
        UsageError: it is neither.

    """
    from pgjobs.admin.retention import check_days
    from pgjobs.core.errors import UsageError

    if text == "forever":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(f"{text!r} is no number of days to keep: give a number such as 30, or forever.")
    return check_days(int(text))


def spell(days: int | None) -> str:
    """Say how long.

    >>> spell(1), spell(None)
    ('for 1 day', 'for ever')

    """
    from pgjobs.core.text import plural

    return "for ever" if days is None else f"for {plural(days, 'day')}"


def _row(day: HistoryDay) -> list[str]:
    from pgjobs.cli.output import size

    return [
        day.name if day.day is None else day.day.isoformat(),
        "?" if day.jobs is None else f"{day.jobs:,}",
        size(day.bytes),
        "" if day.until is None else day.until.date().isoformat(),
    ]
