"""What a job costs: CPU of the server and of the contender's own processes, WAL, commits, dead rows.

Counters are read before and after; what is between them belongs to the jobs in between. PostgreSQL's own statistics
are written by a backend when it ends (or after a second without work), so they are read when the contender's
connections are gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

STATISTICS_SECONDS = 5.0  # for the backends of stopped processes to end
_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
_COUNTERS = """
    SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, xact_commit, tup_updated + tup_deleted
    FROM pg_stat_database WHERE datname = %s
"""


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds of these processes and all below them, those included that have ended and were reaped."""
    total = 0.0
    for pid in pids:
        try:
            # The children first: one that ends meanwhile is counted with its parent as well, never not at all.
            children = psutil.Process(pid).children(recursive=True)
            total += sum(_own_and_reaped(child) for child in children)
            total += _own_and_reaped(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    return total


def _own_and_reaped(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


@dataclass(frozen=True)
class Counters:
    """WAL in bytes; commits without our own; rows that became dead. All since the server's beginning."""

    wal: int
    commits: int
    dead_rows: int

    def __sub__(self, other: Counters) -> Counters:
        return Counters(self.wal - other.wal, self.commits - other.commits, self.dead_rows - other.dead_rows)


class Watch:
    """Looks at a contender's database, and counts how often, to leave itself out of the figures."""

    def __init__(self, url: str, pending: str) -> None:
        self._url = url
        self._database = conninfo_to_dict(url)["dbname"]
        self._pending = pending.encode()
        self._commits = 0
        self._inside: psycopg.Connection | None = None
        self._outside = psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self._outside.close()

    def settle(self) -> None:
        """Prepare the next measurement: fresh statistics of the tables, and without a checkpoint's debts."""
        self._ask("ANALYZE")
        self._ask("CHECKPOINT")

    def pending(self) -> int:
        """Return the number of jobs that are not finished."""
        row = self._ask(self._pending).fetchone()
        assert row is not None
        return int(row[0])

    def counters(self) -> Counters:
        """Wait until no connection is left (or until that takes too long), and read."""
        self._leave()
        deadline = time.monotonic() + STATISTICS_SECONDS
        while self._outside.execute(_OTHERS, [self._database]).fetchone() != (0,) and time.monotonic() < deadline:
            time.sleep(0.02)
        row = self._outside.execute(_COUNTERS, [self._database]).fetchone()
        assert row is not None
        return Counters(row[0], row[1] - self._commits, row[2])

    def _ask(self, query: str | bytes) -> psycopg.Cursor[Any]:
        if self._inside is None:
            self._inside = psycopg.connect(self._url, autocommit=True)
            self._commits += 1  # a session begins with one
        self._commits += 1
        return self._inside.execute(query.encode() if isinstance(query, str) else query)

    def _leave(self) -> None:
        if self._inside is not None:
            self._inside.close()
            self._inside = None
