"""`pgjobs history list|keep|minutes`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pgjobs import admin
from pgjobs.admin.retention import check_days
from pgjobs.cli.commands import command_group
from pgjobs.cli.output import Column, print_json, print_table, say, size
from pgjobs.cli.params import Days, Json, Yes, confirm
from pgjobs.cli.session import session
from pgjobs.core.errors import UsageError
from pgjobs.core.text import plural

if TYPE_CHECKING:
    from pgjobs.admin import HistoryDay

app = command_group()

COLUMNS = (Column("DAY"), Column("JOBS", right=True), Column("SIZE", right=True), Column("KEPT UNTIL"))


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the days of history, and how long they are kept.

    Days are in UTC. The number of jobs is an estimate, from PostgreSQL's statistics.
    """
    with session("history list") as conn:
        kept = admin.show_retention(conn)
        found = admin.list_history(conn)
    if as_json:
        print_json({**asdict(kept), "days": found})
        return
    print_table(COLUMNS, [_row(day) for day in found], empty="There is no history yet.")
    say(
        f"Finished jobs are kept {spell(kept.history_days)}, dead letters {spell(kept.dead_letter_days)}, minutes "
        f"{spell(kept.minute_days)}."
    )


@app.command()
def keep(days: Days, yes: Yes = False) -> None:
    """Keep finished jobs for a number of days.

    For all workers. They drop whole days (UTC) once everything in them is older. Dead letters stay.
    """
    number = parse_days(days)
    with session("history keep") as conn:
        if number is not None and (old := admin.list_expired_days(conn, number)):
            confirm(f"Drop {plural(len(old), 'day')} of history, from {old[0]} to {old[-1]}?", yes=yes)
        admin.keep_history(conn, number)
    say(f"Finished jobs are kept {spell(number)}.")


@app.command()
def minutes(days: Days) -> None:
    """Keep what happened in each minute for a number of days. Charts are made of it."""
    number = parse_days(days)
    if number is None:
        raise UsageError("minutes are not kept forever: give a number of days, such as 30.")
    with session("history minutes") as conn:
        admin.keep_minutes(conn, number)
    say(f"Minutes are kept {spell(number)}.")


def parse_days(text: str) -> int | None:
    """Read a number of days, or `forever`.

    Raises:
        UsageError: the text is neither.

    """
    if text == "forever":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(f"{text!r} is not a number of days to keep: give a number such as 30, or forever.")
    return check_days(int(text))


def spell(days: int | None) -> str:
    """Write for how long something is kept.

    >>> spell(1), spell(None)
    ('for 1 day', 'forever')

    """
    return "forever" if days is None else f"for {plural(days, 'day')}"


def _row(day: HistoryDay) -> list[str]:
    return [
        day.name if day.day is None else day.day.isoformat(),
        "?" if day.jobs is None else f"{day.jobs:,}",
        size(day.bytes),
        "" if day.until is None else day.until.date().isoformat(),
    ]
