"""How list commands print what they found, and what may help where they found nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pgjobs import admin
from pgjobs.cli.output import Column, print_json, print_table
from pgjobs.core.text import is_glob, listed
from pgjobs.db.query import run_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

T = TypeVar("T")
TIMEOUT_MS = 2_000  # milliseconds that the look for a hint may take
SEEN = 200  # jobs whose tasks are named


def print_list(
    found: Sequence[T], columns: Sequence[Column], row: Callable[[T], Sequence[str]], *, empty: str, as_json: bool
) -> None:
    """Print what a list command found: as JSON, or as a table with one row for each. `empty`: the line for no rows."""
    if as_json:
        print_json(found)
    else:
        print_table(columns, [row(each) for each in found], empty=empty)


def task_hint(conn: psycopg.Connection, task: str | None) -> str:
    """Return a sentence that names the tasks which end like one that has no jobs, such as `shop.tasks:book` for `book`.

    It begins with a space, and is empty if there are none, or if it takes too long to find them.
    """
    if task is None or is_glob(task):
        return ""
    found = run_within(conn, TIMEOUT_MS, lambda: _tasks(conn, f"*:{task}") | _tasks(conn, f"*.{task}"))
    return f" Tasks that end like that: {listed(sorted(found), 5)}." if found else ""


def _tasks(conn: psycopg.Connection, glob: str) -> set[str]:
    jobs = {job.task for job in admin.list_jobs(conn, task=glob, limit=SEEN)}
    return jobs | {letter.task for letter in admin.list_dead(conn, task=glob, limit=SEEN)}
