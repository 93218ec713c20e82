"""What a supervisor checks at its start, and tells about jobs that its workers do not run, then and after a drain."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import ConfigurationError
from pgjobs.core.text import listed, plural
from pgjobs.db.depths import fetch_depths
from pgjobs.db.encoding import can_store, encoding_of
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import fetch_dicts, run_within
from pgjobs.db.stuck_jobs import StuckJob, sentence, stuck_jobs, ways_out

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.supervisor")
CAP = 1000  # counts end here
TIMEOUT_MS = 2_000  # milliseconds that a look may take


def check_queues(connection: psycopg.Connection, queues: list[str]) -> None:
    """Make sure that the database can hold the names of the queues.

    Raises:
        ConfigurationError: it lacks a character of one.

    """
    for queue in queues:
        if not can_store(connection, queue):
            raise ConfigurationError(
                f"The queue {queue!r} has a character that this database lacks: its encoding is "
                f"{encoding_of(connection).database}. Give it another name, or use a database in UTF8."
            )


def report_unserved(connection: psycopg.Connection[Any], serves: Callable[[str], object]) -> None:
    """Name the queues that have due jobs and no worker, other than those that this supervisor serves."""
    due = run_within(
        connection, TIMEOUT_MS, lambda: fetch_dicts(connection, "count_due", queues=None, cap=CAP), LOOK_UPS
    )
    if not due:
        return
    served = {name for row in fetch_dicts(connection, "list_workers") for name in _names(row["queues"])}
    left = unserved({row["queue"]: row["due"] for row in due if not serves(row["queue"])}, served)
    if left:
        log.warning("no worker serves %s; -q adds a queue", left)


def report_left(connection: psycopg.Connection[Any], ended: int, serves: Callable[[str], object]) -> None:
    """Log what a drain did, and what is left in its queues."""
    depths = run_within(connection, TIMEOUT_MS, lambda: fetch_depths(connection, cap=CAP), LOOK_UPS)
    waiting = run_within(connection, TIMEOUT_MS, lambda: fetch_dicts(connection, "count_waiting"))
    here = [row for row in depths or () if serves(row["name"])]
    mine = {row["name"] for row in here} | {row["queue"] for row in waiting or () if serves(row["queue"])}
    stuck = run_within(connection, TIMEOUT_MS, lambda: stuck_jobs(connection, queues=mine), LOOK_UPS) or []
    left = {
        "due": sum(row["due"] for row in here if not row["paused"]),
        "in paused queues": sum(row["due"] for row in here if row["paused"]),
        "due later": sum(row["later"] for row in here),
        "waiting": sum(row["waiting"] for row in waiting or () if row["queue"] in mine),
    }
    log.log(logging.WARNING if stuck or left["due"] else logging.INFO, "%s", drained(ended, left, stuck))


def unserved(due: Mapping[str, int], served: Collection[str]) -> str:
    """Write the queues with due jobs that no worker serves; empty if there are none.

    >>> unserved({"mail": 1, "default": 5, "vip": 1000}, {"default"})
    'mail (1 job is due), vip (1,000 jobs or more are due)'

    """
    return listed(
        [
            f"{queue} ({plural(jobs, 'job', cap=CAP)} {'is' if jobs == 1 else 'are'} due)"
            for queue, jobs in sorted(due.items())
            if queue not in served
        ]
    )


def drained(ended: int, left: Mapping[str, int], stuck: Collection[StuckJob] = ()) -> str:
    """Write the last line of a drain.

    >>> drained(12, {"due": 0, "due later": 1, "waiting": 2})
    '12 jobs ended; left: 1 due later, 2 waiting'
    >>> drained(1, {"due": 0})
    '1 job ended, and nothing is left'

    """
    rest = ", ".join(f"{number:,} {what}" for what, number in left.items() if number)
    line = f"{plural(ended, 'job')} ended{f'; left: {rest}' if rest else ', and nothing is left'}"
    return f"{line}; {sentence([*stuck])}: {ways_out([*stuck])}" if stuck else line


def _names(queues: object) -> list[str]:
    return [str(name) for name in queues] if isinstance(queues, dict | list) else []  # else written by hand
