"""What an installation looks like now, read by SQL as metrics: at each scrape, and within a time limit."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pgjobs.core.config import DEFAULT_RESCUE_AFTER
from pgjobs.core.version import VERSION
from pgjobs.db.connection import connect
from pgjobs.db.installation import connection_name
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import fetch_dicts, run_within
from pgjobs.diagnose.doctor import examine, look
from pgjobs.diagnose.finding import LEVELS
from pgjobs.telemetry.metrics import INSTALLATION, MAX_QUEUES, Capped, Family, about, families, filled

if TYPE_CHECKING:
    import psycopg

CAP = 10_000  # jobs of a queue, and workflows of a state, that are counted
DEAD_CAP = 100_000  # dead letters that are counted
SCAN_MS = 250  # milliseconds that counting what no index finds may take
DOCTOR_EVERY = 60.0  # seconds
DOCTOR_MS = 300  # milliseconds that the doctor may read
DOCTOR_SCAN = 1000  # rows that it reads where no index helps
BREAKER_STATES = ("closed", "open", "half_open")
T = TypeVar("T")


class TimeUpError(Exception):
    """The time limit is over."""


class InstallationReader:
    """Reads the metrics of the installation behind a URL. Safe for threads: one scrape at a time asks PostgreSQL.

    `time_limit`: seconds that PostgreSQL has for one scrape. A connection is opened for each, so that none is left that
    a failover or a pooler has cut.
    """

    def __init__(self, url: Callable[[], str], time_limit: float) -> None:
        self._url = url
        self._time_limit = time_limit
        self._lock = threading.Lock()
        self._last: list[Family] = []
        self._read_at = 0.0  # monotonic seconds: when the last scrape began
        self._queues = Capped(MAX_QUEUES)
        self._doctor: dict[str, int] = {}
        self._next_doctor = 0.0  # monotonic seconds
        self.error: str | None = None
        """Why the last scrape is not whole; None: it is."""

    def __call__(self) -> list[Family]:
        """Return all families. An error, or the end of the time, makes `pgjobs_up` 0, and leaves out what is missing.

        A scrape that had to wait for one that began later than itself takes what that has read.
        """
        asked = time.monotonic()
        with self._lock:
            if self._read_at < asked:
                self._read_at = time.monotonic()
                self._last = self._read()
            return self._last

    def _read(self) -> list[Family]:
        import psycopg

        from pgjobs.core.errors import PgjobsError

        found = families(INSTALLATION)
        began = time.monotonic()
        self.error = None
        try:
            with connect(
                self._url(), application_name=connection_name("metrics"), answer_within=self._time_limit + 1
            ) as conn:
                self._fill(conn, found, began + self._time_limit)
        except TimeUpError:
            self.error = f"the time limit of {self._time_limit:g} s was over"
        except (psycopg.Error, PgjobsError, OSError) as error:
            self.error = str(error).strip().partition("\n")[0]
        return [*about(VERSION, time.monotonic() - began, up=self.error is None), *filled(found.values())]

    def _fill(self, conn: psycopg.Connection, found: Mapping[str, Family], deadline: float) -> None:
        def within(work: Callable[[], T], most_ms: int | None = None) -> T | None:
            left = int((deadline - time.monotonic()) * 1000)
            if left <= 0:
                raise TimeUpError
            rows = run_within(conn, left if most_ms is None else min(left, most_ms), work, LOOK_UPS)
            if rows is None and most_ms is None:
                raise TimeUpError
            return rows

        parts = within(
            lambda: fetch_dicts(conn, "read_metrics", silent_after=DEFAULT_RESCUE_AFTER, cap=CAP),
        )
        assert parts is not None  # noqa: S101 (for mypy)
        row = parts[0]
        put_parts(found, row)
        for depth in within(lambda: fetch_dicts(conn, "queue_depths", cap=CAP)) or ():
            queue = self._queues(depth["name"])
            found["pgjobs_queue_latency_seconds"].put(max(depth["latency_seconds"] or 0.0, 0.0), queue)
            found["pgjobs_queue_paused"].put(float(depth["paused"] or row["all_paused"]), queue)
            found["pgjobs_queue_workers"].put(row["workers"].get(depth["name"], 0), queue)
            found["pgjobs_queue_jobs"].put(min(depth["due"], CAP), queue, "due")
            found["pgjobs_queue_jobs"].put(min(depth["later"], CAP), queue, "later")
        for letters in within(lambda: fetch_dicts(conn, "count_dead_by_queue", cap=DEAD_CAP)) or ():
            found["pgjobs_dead_letters"].put(letters["letters"], self._queues(letters["queue"]))
        for name, state in (("count_waiting", "waiting"), ("count_running", "running")):
            for each in within(lambda name=name: fetch_dicts(conn, name), SCAN_MS) or ():  # type: ignore[misc]
                found["pgjobs_queue_jobs"].put(each[state], self._queues(each["queue"]), state)
        self._ask_doctor(conn, deadline)
        for level, number in self._doctor.items():
            found["pgjobs_doctor_findings"].put(number, level)

    def _ask_doctor(self, conn: psycopg.Connection, deadline: float) -> None:
        """Have the doctor look, where the last look is a minute ago; what it found stays until the next one."""
        now = time.monotonic()
        if now < self._next_doctor or deadline - now < 2 * DOCTOR_MS / 1000:
            return
        diagnosis = examine(look(conn, scan=DOCTOR_SCAN, timeout_ms=DOCTOR_MS))
        counts = Counter(finding.level for finding in diagnosis.findings)
        self._doctor = {level: counts[level] for level in LEVELS}
        self._next_doctor = time.monotonic() + DOCTOR_EVERY


def put_parts(found: Mapping[str, Family], row: Mapping[str, Any]) -> None:
    """Take in what `read_metrics.sql` gives, apart from what belongs to queues."""
    if row["enqueued"] is not None:
        found["pgjobs_jobs_enqueued_total"].put(row["enqueued"])
    for limit, running in row["limits"].items():
        found["pgjobs_limit_in_use"].put(running, limit)
    for breaker, now in row["breakers"].items():
        for state in BREAKER_STATES:
            found["pgjobs_breaker_state"].put(float(state == now), breaker, state)
    for schedule, late in row["schedules"].items():
        found["pgjobs_schedule_lateness_seconds"].put(late, schedule)
    for state, number in row["workflows"].items():
        found["pgjobs_workflows"].put(number, state)
    found["pgjobs_held_snapshot_seconds"].put(max(row["held_seconds"], 0.0))
    for table, rows in row["dead_rows"].items():
        found["pgjobs_dead_rows"].put(rows, table)
