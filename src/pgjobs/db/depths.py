"""How many jobs each queue holds, and how late it is, at a cost that does not grow with the tables.

The oldest due job comes from indexes. Jobs are counted one by one up to a number that is smaller with many queues; what
runs or waits is counted in a sample of the tables' pages, which is all of them where tables are small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import fetch_dicts, run_within

if TYPE_CHECKING:
    import psycopg

MAX_QUEUES = 1000
"""Queues that are told apart, in metrics and in minutes."""
CAP = 10_000  # jobs of a queue that are counted one by one at most
ROWS = 30_000  # jobs that are counted one by one, over all queues, about
LEAST_COUNTED = 10  # of each queue
PAGES = 1000  # of a table that are read, 8 MB
MAX_LANES = 1000  # of a queue that are looked at
LANES = 5_000  # that are looked at, over all queues, about
LEAST_LANES = 5


class Depth(NamedTuple):
    """A queue: its numbers of jobs, some of them estimates, and for how long its oldest due job has been due."""

    queue: str
    latency: float | None
    due: int
    later: int
    waiting: int
    running: int
    dead: int
    paused: bool
    sla: float | None

    @property
    def is_idle(self) -> bool:
        """True if no job is due, runs, or waits for other jobs."""
        return not (self.due or self.running or self.waiting)


class Sample:
    """Jobs by queue and state in a share of the pages of their tables: all, or what they are worth as an estimate."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], shares: Mapping[str, float]) -> None:
        self._jobs: Counter[tuple[str, str]] = Counter()
        for row in rows:  # jobs that are due are in two tables
            self._jobs[row["queue"], row["state"]] += round(row["jobs"] / shares[row["part"]])

    def of(self, queue: str, state: str) -> int:
        """Return the number of jobs, or about that."""
        return self._jobs[queue, state]

    def queues(self) -> list[str]:
        """Return the queues of which there are any."""
        return sorted({queue for queue, _ in self._jobs})


def cap_for(queues: int) -> int:
    """Return how many jobs to count in each of a number of queues.

    >>> cap_for(1), cap_for(100), cap_for(1_000), cap_for(100_000)
    (10000, 300, 30, 10)

    """
    return min(CAP, max(LEAST_COUNTED, ROWS // max(queues, 1)))


def lanes_for(queues: int) -> int:
    """Return how many lanes to look at in each of a number of queues.

    >>> lanes_for(1), lanes_for(100), lanes_for(10_000)
    (1000, 50, 5)

    """
    return min(MAX_LANES, max(LEAST_LANES, LANES // max(queues, 1)))


def fetch_depths(
    conn: psycopg.Connection[Any], *, cap: int | None = None, queues: list[str] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of `queue_depths.sql`: of these queues (None: all), each counted up to the cap.

    The cap is that of `cap_for`, if none is given.
    """
    names = queue_names(conn) if queues is None else queues
    number = len(names)
    counted = cap_for(number) if cap is None else cap
    return fetch_dicts(conn, "queue_depths", cap=counted, lanes=lanes_for(number), queues=names)


def queue_names(conn: psycopg.Connection[Any]) -> list[str]:
    """Return the names of the queues that have jobs or settings."""
    return [row["name"] for row in fetch_dicts(conn, "queue_names")]


def table_pages(conn: psycopg.Connection[Any]) -> dict[str, int]:
    """Return how many pages the tables of live and of waiting jobs and of dead letters have."""
    return fetch_dicts(conn, "sampled_pages")[0]


def take_sample(conn: psycopg.Connection[Any]) -> Sample:
    """Count jobs in a sample of the pages of their tables."""
    shares = {table: min(1.0, PAGES / max(pages, 1)) for table, pages in table_pages(conn).items()}
    return Sample(fetch_dicts(conn, "sample_jobs", **{table: 100 * share for table, share in shares.items()}), shares)


def put_together(depths: Iterable[Mapping[str, Any]], cap: int, sample: Sample) -> list[Depth]:
    """Return all queues, from rows of `queue_depths.sql` and a sample, by name."""
    by_name = {row["name"]: row for row in depths}
    nothing = {"paused": False, "sla": None, "due": 0, "later": 0, "latency_seconds": None}
    found = []
    for name in sorted({*by_name, *sample.queues()}):
        row = by_name.get(name, nothing)
        counted = {
            state: row[state] if row[state] <= cap else max(cap, sample.of(name, state)) for state in ("due", "later")
        }
        found.append(
            Depth(
                name,
                latency=None if row["latency_seconds"] is None else max(row["latency_seconds"], 0.0),
                due=counted["due"],
                later=counted["later"],
                waiting=sample.of(name, "waiting"),
                running=sample.of(name, "running"),
                dead=sample.of(name, "dead"),
                paused=row["paused"],
                sla=row["sla"],
            )
        )
    return found


def read_depths(conn: psycopg.Connection[Any], timeout_ms: int) -> list[Depth] | None:
    """Look at all queues; None: a statement took longer than the timeout."""
    rows = run_within(conn, timeout_ms, lambda: fetch_depths(conn), LOOK_UPS)
    sample = None if rows is None else run_within(conn, timeout_ms, lambda: take_sample(conn), LOOK_UPS)
    return None if rows is None or sample is None else put_together(rows, cap_for(len(rows)), sample)
