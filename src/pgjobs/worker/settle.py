"""Write outcomes to the database: one statement per kind of outcome, however many jobs.

Both the acknowledger (for its own worker) and the rescuer (for a dead one) settle through here.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.db.statements import statement
from pgjobs.outcome import Cancelled, Completed, Failed, Outcome, Released, Retried, Snoozed

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.settle")


class Attempt(NamedTuple):
    """What identifies an attempt; with the worker's id it is the fence of every acknowledgement."""

    id: int
    attempt: int


Settlement = tuple[Attempt, Outcome]


def settle(cursor: psycopg.Cursor[Any], worker_id: int, host: str, outcomes: Iterable[Settlement]) -> list[Attempt]:
    """Write outcomes of jobs that `worker_id` runs, and give the attempts that were not its own any more.

    An outcome that PostgreSQL refuses (it is no outage: a value that can not be stored, say) is written on its own,
    as plainly as possible, so that it spoils neither the batch nor its job.
    """
    groups: dict[type[Outcome], list[Settlement]] = defaultdict(list)
    for settlement in outcomes:
        groups[type(settlement[1])].append(settlement)
    stale: list[Attempt] = []
    for kind, group in groups.items():
        stale += _settle_group(cursor, worker_id, host, kind, group)
    return stale


def complete(cursor: psycopg.Cursor[Any], worker_id: int, ids: list[int], attempts: list[int]) -> int:
    """Write that attempts completed (the hot one), and give how many were still this worker's."""
    cursor.execute(statement("complete"), {"ids": array(ids), "attempts": array(attempts), "worker_id": worker_id})
    return cursor.rowcount


def array(numbers: Iterable[int]) -> str:
    """Give PostgreSQL's text form of an array of numbers; far cheaper than adapting each of them."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _settle_group(
    cursor: psycopg.Cursor[Any], worker_id: int, host: str, kind: type[Outcome], group: Sequence[Settlement]
) -> list[Attempt]:
    import psycopg

    try:
        with cursor.connection.transaction():
            return _execute(cursor, worker_id, host, kind, group)
    except psycopg.DataError as error:
        if len(group) > 1:
            return [a for one in group for a in _settle_group(cursor, worker_id, host, kind, [one])]
        attempt, outcome = group[0]
        log.exception("job %d: its outcome %r can not be stored as it is", attempt.id, outcome)
        plain = f"{type(outcome).__name__}; its error can not be stored: {type(error).__name__}"
        return _execute(cursor, worker_id, host, kind, [(attempt, _plainly(outcome, plain))])


def _plainly(outcome: Outcome, error: str) -> Outcome:
    match outcome:
        case Retried():
            return Retried(error, min(outcome.delay, 3600.0), isolate=outcome.isolate)
        case Failed():
            return Failed(error)
        case Cancelled():
            return Cancelled(error)
        case Snoozed():
            return Snoozed(60.0)
        case _:
            return outcome


def _execute(
    cursor: psycopg.Cursor[Any], worker_id: int, host: str, kind: type[Outcome], group: Sequence[Settlement]
) -> list[Attempt]:
    outcomes: list[Any] = [outcome for _, outcome in group]
    values: dict[str, Any] = {
        "ids": array(attempt.id for attempt, _ in group),
        "attempts": array(attempt.attempt for attempt, _ in group),
        "worker_id": worker_id,
    }
    if kind is Completed:
        name = "complete"
    elif kind is Retried:
        name = "retry"
        values |= {
            "delays": [o.delay for o in outcomes],
            "isolates": [o.isolate for o in outcomes],
            "errors": [o.error for o in outcomes],
            "tracebacks": [o.traceback for o in outcomes],
            "host": host,
        }
    elif kind is Failed:
        name = "fail"
        values |= {
            "errors": [o.error for o in outcomes],
            "tracebacks": [o.traceback for o in outcomes],
            "host": host,
        }
    elif kind is Snoozed:
        name = "snooze"
        values["delays"] = [o.delay for o in outcomes]
    elif kind is Cancelled:
        name = "cancel"
        values["reasons"] = [o.reason for o in outcomes]
    else:
        assert kind is Released, kind  # noqa: S101 (for mypy's and the reader's benefit)
        name = "release"
    cursor.execute(statement(name), values)
    if cursor.rowcount == len(group):
        return []
    written = {row[0] for row in cursor.fetchall()}
    return [attempt for attempt, _ in group if attempt.id not in written]
