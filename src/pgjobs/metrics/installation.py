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
from pgjobs.db.depths import cap_for, fetch_depths, put_together, take_sample
from pgjobs.db.installation import connection_name
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import fetch_dicts, run_within
from pgjobs.diagnose.doctor import examine, look
from pgjobs.diagnose.finding import LEVELS
from pgjobs.telemetry.metrics import INSTALLATION, MAX_QUEUES, MAX_TASKS, Capped, Family, about, families, filled

if TYPE_CHECKING:
    import psycopg

CAP = 10_000  # workflows of a state that are counted one by one at most
MAX_TOTALS = 20_000  # rows of totals: queues and their tasks
DOCTOR_EVERY = 60.0  # seconds
DOCTOR_MS = 1000  # milliseconds that a statement of the doctor may take
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
        self._tasks = Capped(MAX_TASKS)
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
        def within(work: Callable[[], T]) -> T:
            left = int((deadline - time.monotonic()) * 1000)
            rows = run_within(conn, left, work, LOOK_UPS) if left > 0 else None
            if rows is None:
                raise TimeUpError
            return rows

        (row,) = within(lambda: fetch_dicts(conn, "read_metrics", silent_after=DEFAULT_RESCUE_AFTER, cap=CAP))
        put_parts(found, row)
        sample = within(lambda: take_sample(conn))
        rows = within(lambda: fetch_depths(conn))
        named = {each["name"] for each in rows}
        for depth in put_together(rows, cap_for(len(rows)), sample):  # 0 is said as well
            queue = self._queues(depth.queue)
            if depth.queue in named:
                found["pgjobs_queue_latency_seconds"].put(depth.latency or 0.0, queue)
                found["pgjobs_queue_paused"].put(float(depth.paused or row["all_paused"]), queue)
                found["pgjobs_queue_workers"].put(row["workers"].get(depth.queue, 0), queue)
                if depth.sla is not None:
                    found["pgjobs_queue_sla_seconds"].put(depth.sla, queue)
                found["pgjobs_queue_jobs"].put(depth.due, queue, "due")
                found["pgjobs_queue_jobs"].put(depth.later, queue, "later")
            found["pgjobs_queue_jobs"].put(depth.waiting, queue, "waiting")
            found["pgjobs_queue_jobs"].put(depth.running, queue, "running")
            found["pgjobs_dead_letters"].put(depth.dead, queue)
        for total in within(lambda: fetch_dicts(conn, "finished_totals", limit=MAX_TOTALS)):
            names = self._queues(total["queue"]), self._tasks(total["task"])
            for outcome in ("completed", "failed", "cancelled"):
                if total[outcome]:
                    found["pgjobs_jobs_finished_total"].put(total[outcome], *names, outcome)
            if total["retried"]:
                found["pgjobs_retries_total"].put(total["retried"], *names)
        self._ask_doctor(conn, deadline)
        for level, number in self._doctor.items():
            found["pgjobs_doctor_findings"].put(number, level)

    def _ask_doctor(self, conn: psycopg.Connection, deadline: float) -> None:
        """Have the doctor look, where the last look is a minute ago; what it found stays until the next one."""
        now = time.monotonic()
        left = int((deadline - now) * 1000)
        if now < self._next_doctor or left <= 0:
            return
        self._next_doctor = now + DOCTOR_EVERY
        limit = min(left, DOCTOR_MS)
        installation = run_within(conn, limit, lambda: look(conn, scan=DOCTOR_SCAN, timeout_ms=limit, asked=0))
        if installation is None:
            return
        diagnosis = examine(installation)
        counts = Counter(finding.level for finding in diagnosis.findings)
        self._doctor = {level: counts[level] for level in LEVELS}


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
