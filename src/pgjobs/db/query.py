"""Run statements of `db/sql/`, and read their rows as dataclasses.

psycopg is imported where a statement runs: it is slow to import, and the help of a command needs none.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from pgjobs.core.errors import UsageError
from pgjobs.core.text import is_glob, shorten_repr
from pgjobs.core.validate import as_int
from pgjobs.db.statements import statement
from pgjobs.flow.options import Handle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    import psycopg
    from psycopg.rows import BaseRowFactory

T = TypeVar("T")
AnyJob: TypeAlias = int | Handle
"""A job, given by its id, its handle or its row."""
AnyJobs: TypeAlias = AnyJob | Iterable[AnyJob]
MAX_ID = 2**63 - 1
TRIES = 10
JOBS_PER_TRANSACTION = 500  # jobs, or dead letters: it holds its locks for some ten milliseconds


def fetch(conn: psycopg.Connection, name: str, kind: type[T], **parameters: object) -> list[T]:
    """Run the named statement, and return its rows as instances of the dataclass."""
    from psycopg.rows import class_row

    return _rows(conn, name, class_row(kind), parameters)


def fetch_dicts(conn: psycopg.Connection, name: str, **parameters: object) -> list[dict[str, Any]]:
    """Run the named statement, and return its rows as dictionaries."""
    from psycopg.rows import dict_row

    return _rows(conn, name, dict_row, parameters)


def _rows(
    conn: psycopg.Connection, name: str, row_factory: BaseRowFactory[T], parameters: dict[str, object]
) -> list[T]:
    from psycopg import Cursor

    from pgjobs.db.texts import read_to_show
    from pgjobs.db.timestamps import UtcTimestamps

    # The connection may be a caller's. Its own cursors may read other placeholders, and its settings may write other
    # texts: hence a plain cursor, and binary results.
    with Cursor(conn, row_factory=row_factory) as cursor:
        cursor.adapters.register_loader("timestamptz", UtcTimestamps)
        read_to_show(cursor)
        # Planned for these values and no others: a filter that is not used must cost nothing.
        return cursor.execute(statement(name), parameters, prepare=False, binary=True).fetchall()


@contextmanager
def local_settings(conn: psycopg.Connection, wanted: dict[str, str]) -> Iterator[None]:
    """Run statements under other settings, in a transaction of their own or a part of the caller's."""
    from psycopg import Cursor
    from psycopg.rows import tuple_row

    from pgjobs.db.texts import read_to_show

    with conn.transaction(), Cursor(conn, row_factory=tuple_row) as cursor:
        read_to_show(cursor)
        before = {}
        for name, value in wanted.items():
            row = cursor.execute("SELECT current_setting(%s)", [name]).fetchone()
            before[name] = row[0] if row else value
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
        yield
        # In a caller's transaction they would outlive this block; an error rolls them back with it.
        for name, value in before.items():
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])


def run_within(
    conn: psycopg.Connection, timeout_ms: int, work: Callable[[], T], settings: Mapping[str, str] | None = None
) -> T | None:
    """Return what `work` returns, under other settings; None if one of its statements takes longer than the timeout."""
    from psycopg.errors import QueryCanceled

    try:
        with local_settings(conn, {**(settings or {}), "statement_timeout": str(timeout_ms)}):
            return work()
    except QueryCanceled:
        return None


def clock(conn: psycopg.Connection) -> datetime:
    """Return PostgreSQL's time."""
    now: datetime = fetch_dicts(conn, "transaction_clock")[0]["now"]
    return now


def settled(
    conn: psycopg.Connection,
    name: str,
    *,
    then: Callable[[list[dict[str, Any]]], object] = lambda rows: None,
    **parameters: object,
) -> list[dict[str, Any]]:
    """Run a statement that locks jobs as workers do, and retry it a few times if it conflicts with theirs.

    Two transactions that lock the same rows in different orders, or a row that moves between the partitions of `jobs`,
    are errors to PostgreSQL. Each try is a transaction of its own, or a part of the caller's; `then` is called in it.
    """
    from psycopg import errors

    for attempt in range(TRIES + 1):
        try:
            with conn.transaction():
                rows = fetch_dicts(conn, name, **parameters)
                then(rows)
            return rows
        except (errors.DeadlockDetected, errors.SerializationFailure):
            if attempt == TRIES:
                raise
            time.sleep(random.uniform(0, 0.05))  # noqa: S311 (spreads them, no secret)
    raise AssertionError("unreachable: the last try returns or raises")


def ended_at(conn: psycopg.Connection, ids: list[int]) -> list[datetime]:
    """Return when those of these jobs ended that are in history; see `find_ended.sql` for what it is good for."""
    return [row["finished_at"] for row in fetch_dicts(conn, "find_ended", ids=ids)]


def job_states(conn: psycopg.Connection, ids: list[int]) -> dict[int, tuple[str, bool]]:
    """Return the status, and whether it is due, of each of these jobs that exists."""
    if not ids:
        return {}
    states: dict[int, tuple[str, bool]] = {}
    for _ in range(2):  # a job that ends between the two statements is seen by neither
        left = [each for each in ids if each not in states]
        if left:
            rows = fetch_dicts(conn, "job_states", ids=left, ended_at=ended_at(conn, left))
            states |= {row["id"]: (row["status"], row["due"]) for row in rows}
    return states


def task_patterns(task: str | None) -> list[str] | None:
    r"""Return LIKE patterns for what a user asks for: a task, a module or package, or a glob with `*` and `?`.

    >>> task_patterns("shop.tasks")
    ['shop.tasks', 'shop.tasks:%', 'shop.tasks.%']
    >>> task_patterns("*:send_?")
    ['%:send\\__']

    """
    if task is None:
        return None
    pattern = like(task)
    return [pattern] if is_glob(task) else [pattern, f"{pattern}:%", f"{pattern}.%"]


def like(glob: str) -> str:
    r"""Return the LIKE pattern of a text or a glob.

    >>> like("mail-*"), like("50%_off")
    ('mail-%', '50\\%\\_off')

    """
    return re.sub(r"([\\%_])", r"\\\1", glob).replace("*", "%").replace("?", "_")


def check_id(job: AnyJob) -> int:
    """Return the id of a job that is given by it, by its handle or by its row.

    Raises:
        UsageError: it is not an id, nor has one.

    """
    # An object of another class may have an id as well, of something else.
    own = type(job).__module__.partition(".")[0] == "pgjobs"
    number = as_int(getattr(job, "id", None) if own else job)
    if number is None or not 0 <= number <= MAX_ID:
        raise UsageError(
            f"{shorten_repr(job)} is not the id of a job: give a whole number from 0, or what enqueue returned."
        )
    return number


def check_ids(jobs: AnyJobs) -> list[int]:
    """Return each id once, in their order; one job needs no list.

    Raises:
        UsageError: one of them is not an id.

    """
    if isinstance(jobs, Iterable) and not isinstance(jobs, str | bytes):
        return list(dict.fromkeys(map(check_id, jobs)))
    return [check_id(cast("AnyJob", jobs))]


def check_limit(limit: int) -> int:
    """Return the limit of a listing.

    Raises:
        UsageError: it is not a number of rows.

    """
    if not 1 <= limit <= MAX_ID:
        raise UsageError(f"limit={limit!r}: give a whole number from 1.")
    return limit


def chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """Cut a sequence into pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))
