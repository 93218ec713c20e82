"""The minutes: what happened in queues and tasks, written once a minute, for charts and for totals that stay.

Each supervisor adds what its processes have counted since its last call. One of them also looks at the queues: the
first that asks after the end of a minute. A minute without that is a gap, and nothing else depends on it.

A connection that is lost while it commits may have a supervisor add the same minute twice.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.core.text import one_line
from pgjobs.db.depths import MAX_QUEUES, Depth, read_depths
from pgjobs.db.query import fetch_dicts
from pgjobs.db.statements import statement
from pgjobs.worker.local.counts import CANCELLED, COMPLETED, FAILED, RETRIED, SUM

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.minutes")
MINUTE = 60.0  # seconds
MAX_TASKS = 200  # rows of tasks in one minute, of one supervisor
LEAST_BUSY = 0.005  # of a slot: less is not worth a row
TIME_LIMIT_MS = 2_000  # milliseconds that a statement about the queues may take
AFTER_TROUBLE = 3_600.0  # seconds until the next try after an error that an operator has to fix
Sums = Mapping[str, Any]


class Row(NamedTuple):
    """What a supervisor adds to a minute: of a task, of a queue (task ""), or of all (queue "")."""

    queue: str
    task: str = ""
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    slots: float = 0.0
    busy: float = 0.0
    run_seconds: float = 0.0
    wait_seconds: float = 0.0
    runs: tuple[int, ...] = ()
    waits: tuple[int, ...] = ()

    @property
    def ended(self) -> int:
        """How many attempts ended."""
        return self.completed + self.failed + self.cancelled + self.retried


class Minutes:
    """The minutes of one supervisor. `sums`: what its processes have counted. `totals`: also add it to the totals."""

    def __init__(self, sums: Callable[[], Sums], *, totals: bool) -> None:
        self._sums = sums
        self._totals = totals
        self._last: Sums = {}
        self._written_at = time.monotonic()
        # PostgreSQL's clock decides which minute it is, and says so at each look; until then ours is good enough.
        self._next = time.monotonic() + MINUTE - time.time() % MINUTE + random.uniform(0, 1)  # noqa: S311

    def work(self, connection: psycopg.Connection) -> None:
        """Do what is due after the end of a minute.

        Raises:
            psycopg.Error: the connection broke. What the server refuses is logged, and tried again later.

        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + MINUTE
        with self._refusals_logged(connection):
            turn = fetch_dicts(connection, "begin_minute")[0]
            self._next += 0.5 - turn["seconds"]
            self.write(connection)
            if turn["minute"] is not None:
                _write_depths(connection, turn["minute"])

    def write_rest(self, connection: psycopg.Connection) -> None:
        """Add what was counted since the last minute, at the end of the supervisor. Raises as `work` does."""
        with self._refusals_logged(connection):
            self.write(connection)

    @contextmanager
    def _refusals_logged(self, connection: psycopg.Connection) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            if connection.closed:
                raise
            log.warning("this minute is not written: %s", one_line(error))
            if not isinstance(error, psycopg.OperationalError):  # those pass: a deadlock, a time limit, a full disk
                self._next = time.monotonic() + AFTER_TROUBLE

    def has_news(self) -> bool:
        """Return True if something has ended since the last `write`."""
        return any(row.ended for row in self._rows(self._sums()))

    def write(self, connection: psycopg.Connection) -> None:
        """Add what was counted since the last call."""
        sums = self._sums()
        rows = self._rows(sums)
        if rows:
            columns = dict(zip(Row._fields, map(list, zip(*rows, strict=True)), strict=True))
            texts = {name: [_array(each) for each in columns.pop(name)] for name in ("runs", "waits")}
            names = {name: columns.pop(name[:-1]) for name in ("queues", "tasks")}
            for name in ("slots", "busy", "run_seconds", "wait_seconds"):
                columns[name] = list(map(float, columns[name]))  # what was not timed is a whole number
            connection.execute(statement("add_to_minute"), {**columns, **texts, **names, "totals": self._totals})
        self._last, self._written_at = sums, time.monotonic()

    def _rows(self, sums: Sums) -> list[Row]:
        return rows_of(difference(sums, self._last), max(time.monotonic() - self._written_at, 1.0))


def rows_of(counted: Sums, seconds: float) -> list[Row]:
    """Return the rows of a minute, from what was counted in some seconds: for queues and tasks that did something."""
    found: list[Row] = []
    for queue in sorted({*counted.get("tasks", {}), *counted.get("busy", {})})[:MAX_QUEUES]:
        tasks = [
            Row(
                queue,
                task,
                completed=int(array[COMPLETED]),
                failed=int(array[FAILED]),
                cancelled=int(array[CANCELLED]),
                retried=int(array[RETRIED]),
                run_seconds=array[SUM],
                runs=_buckets(array),
            )
            for task, array in counted.get("tasks", {}).get(queue, {}).items()
        ]
        waits = counted.get("waits", {}).get(queue, [0] * (SUM + 1))
        slots, _ = counted.get("slots", {}).get(queue, (0.0, 0.0))
        busy = counted.get("busy", {}).get(queue, [0.0])[0] / seconds
        whole = add_up(queue, tasks)._replace(slots=slots, busy=busy, wait_seconds=waits[SUM], waits=_buckets(waits))
        if whole.ended or busy >= LEAST_BUSY:
            found += [whole, *(task for task in tasks if task.ended)]
    if not found:
        return []
    queues = [row for row in found if not row.task]
    tasks = sorted((row for row in found if row.task), key=lambda row: -row.ended)[:MAX_TASKS]
    return [add_up("", queues), *queues, *tasks]


def add_up(queue: str, rows: Iterable[Row]) -> Row:
    """Return the row of a queue (or "", of all) from its parts."""
    total = Row(queue)
    for row in rows:
        total = Row(
            queue,
            completed=total.completed + row.completed,
            failed=total.failed + row.failed,
            cancelled=total.cancelled + row.cancelled,
            retried=total.retried + row.retried,
            slots=total.slots + row.slots,
            busy=total.busy + row.busy,
            run_seconds=total.run_seconds + row.run_seconds,
            wait_seconds=total.wait_seconds + row.wait_seconds,
            runs=_sum(total.runs, row.runs),
            waits=_sum(total.waits, row.waits),
        )
    return total


def difference(sums: Sums, before: Sums) -> dict[str, Any]:
    """Return what was counted since then, and the slots as they are now.

    >>> difference({"waits": {"a": [3, 1.5], "b": [1, 1]}, "slots": {"a": [2, 1]}}, {"waits": {"a": [1, 0.5]}})
    {'waits': {'a': [2, 1.0], 'b': [1, 1]}, 'slots': {'a': [2, 1]}}

    """
    found: dict[str, Any] = {}
    for name, value in sums.items():
        if name == "slots":
            found[name] = value
            continue
        old = before.get(name)
        if isinstance(value, Mapping):
            found[name] = difference(value, old or {})
        else:
            found[name] = [*value] if old is None else [a - b for a, b in zip(value, old, strict=True)]
    return found


def _buckets(array: Iterable[float]) -> tuple[int, ...]:
    """Return the numbers of an array's buckets, without the empty ones at its end."""
    numbers = [int(number) for number in [*array][:SUM]]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _sum(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    longest = max(len(a), len(b))
    return tuple(x + y for x, y in zip(a + (0,) * (longest - len(a)), b + (0,) * (longest - len(b)), strict=True))


def _array(numbers: tuple[int, ...]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


def _write_depths(connection: psycopg.Connection, minute: object) -> None:
    """Write how all queues stand, apart from those where nothing is due, waits or runs."""
    depths = read_depths(connection, TIME_LIMIT_MS)
    rows = sorted((depth for depth in depths or () if not depth.is_idle), key=_urgency)[:MAX_QUEUES]
    if not rows:
        return
    connection.execute(
        statement("write_depths"),
        {
            "minute": minute,
            "queues": [row.queue for row in rows],
            "latencies": [row.latency for row in rows],
            **{name: [getattr(row, name) for row in rows] for name in ("due", "later", "waiting", "running")},
        },
    )


def _urgency(depth: Depth) -> float:
    return -(depth.latency or 0.0)
