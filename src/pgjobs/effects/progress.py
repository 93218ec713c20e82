"""How far jobs have come: what they say is buffered for a second, and written for all of them."""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.core.config import settings
from pgjobs.core.errors import UsageError
from pgjobs.core.validate import as_number
from pgjobs.db.query import fetch_dicts
from pgjobs.db.statements import statement
from pgjobs.effects.steps import check_key, restored, stored

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg

    from pgjobs.jobs.context import RunningJob

log = logging.getLogger("pgjobs.progress")
WRITE_EVERY = 1.0  # seconds
MAX_STATE_BYTES = 64 * 1024  # of JSON
MAX_MESSAGE = 1_000  # characters; longer ones are cut


class ReportValues(NamedTuple):
    """What a job has said of itself, as it is stored."""

    claim_number: int
    done: float | None
    total: float | None
    message: str | None
    state: str | None

    @classmethod
    def of(cls, claim_number: int, done: object, total: object, message: object, state: object) -> ReportValues:
        """Check what a job says.

        Raises:
            UsageError: a value cannot be used.

        """
        return cls(
            claim_number,
            _number("done", done),
            _number("total", total),
            None if message is None else str(message).replace("\0", "")[:MAX_MESSAGE],
            None if state is None else _state(state),
        )

    def with_newer(self, newer: ReportValues) -> ReportValues:
        """Return this report with what a newer one says."""
        return self._replace(**{name: value for name, value in newer._asdict().items() if value is not None})

    def columns(self, job_id: int) -> dict[str, list[Any]]:
        """Return the parameters of write_progress.sql for this one."""
        return columns({job_id: self})


def columns(reports: dict[int, ReportValues]) -> dict[str, list[Any]]:
    """Return the parameters of write_progress.sql."""
    return {
        "ids": list(reports),
        "claim_numbers": [report.claim_number for report in reports.values()],
        "dones": [report.done for report in reports.values()],
        "totals": [report.total for report in reports.values()],
        "messages": [report.message for report in reports.values()],
        "states": [report.state for report in reports.values()],
    }


class ProgressWriter:
    """Writes what the jobs of this process report: one statement a second for all of them, while some do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of the reports
        self._writing = threading.Lock()  # of the connection
        self._reports: dict[int, ReportValues] = {}  # by job
        self._waits: dict[int, tuple[int, str | None]] = {}  # by job: its claim, and what it waits for
        self._waiting: set[int] = set()  # jobs of which it is written that they wait
        self._connection: psycopg.Connection | None = None
        self._thread: threading.Thread | None = None
        self._reported = threading.Event()  # since the last write
        self._pid = os.getpid()

    def report(self, job: RunningJob, done: object, total: object, message: object, state: object) -> None:
        """Remember the newest report of a job. What is None stays as it was.

        Raises:
            UsageError: a value cannot be used.

        """
        report = ReportValues.of(job.claim_number, done, total, message, state)
        with self._lock:
            before = self._reports.get(job.id)
            if before is not None:
                report = before.with_newer(report)
            self._reports[job.id] = report
            self._write_soon()

    def report_wait(self, job: RunningJob, ids: Collection[int]) -> None:
        """Remember for which jobs a job waits; none: it waits no longer."""
        with self._lock:
            self._waits[job.id] = job.claim_number, f"{{{','.join(map(str, ids))}}}" if ids else None
            self._write_soon()

    def _write_soon(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="pgjobs-progress", daemon=True)
            self._thread.start()
            atexit.register(self.flush)
        if not self._reported.is_set():
            self._reported.set()

    def read_state(self, job: RunningJob) -> Any:
        """Return the state that this job's attempts have left; None: none."""
        with self._lock:
            report = self._reports.get(job.id)
            if report is not None and report.state is not None:
                return json.loads(report.state)
        with self._writing:
            rows = fetch_dicts(self._connected(), "read_state", id=job.id)
        return rows[0]["state"] if rows else None

    def read_step(self, job: RunningJob, key: str) -> tuple[Any] | None:
        """Return what a step of this job has returned, in a tuple; None: it has not been done.

        Raises:
            UsageError: the key cannot be used.
            PayloadError: the value is wrongly signed, or cannot be loaded here.

        """
        values = {"id": job.id, "key": check_key(key)}
        with self._writing:
            rows = fetch_dicts(self._connected(), "read_step", **values)
        return (restored(job.id, key, bytes(rows[0]["value"]), rows[0]["signature"]),) if rows else None

    def write_step(self, job: RunningJob, key: str, value: object) -> None:
        """Remember what a step of this job has returned.

        Raises:
            ResultError: it cannot be stored.

        """
        data, signature = stored(job.id, job.task, key, value)
        values = {"id": job.id, "key": key, "value": data, "signature": signature}
        with self._writing:
            self._connected().execute(statement("write_step"), values)

    def once_in(
        self, job: RunningJob, conn: Any, key: str, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Do a step in the transaction of `conn`.

        Raises:
            Exception: see `steps_within.once_in`.

        """
        from pgjobs.effects.steps_within import once_in  # imported lazily: few jobs need it

        return once_in(job, conn, key, function, args, kwargs)

    def flush(self) -> None:
        """Write what has been reported. An error is logged, and what it concerns is tried again."""
        if os.getpid() != self._pid:
            return  # a fork of a job: the connection is its parent's
        with self._lock:
            reports, self._reports = self._reports, {}
            waits, self._waits = self._waits, {}
        if reports:
            self._flush(reports)
        if waits:
            self._flush_waits(waits)

    def _flush_waits(self, waits: dict[int, tuple[int, str | None]]) -> None:
        """Write who waits for whom. It only explains, so it is not tried again after an error."""
        from psycopg import Error

        from pgjobs.db.connection import ConnectError

        waits = {job: wait for job, wait in waits.items() if wait[1] is not None or job in self._waiting}
        claim_numbers, texts = [claim for claim, _ in waits.values()], [text for _, text in waits.values()]
        try:
            with self._writing:
                values = {"ids": list(waits), "claim_numbers": claim_numbers, "waits": texts}
                self._connected().execute(statement("write_waits"), values)
        except (Error, ConnectError) as error:
            log.warning("who waits for whom is not written: %s", str(error).partition("\n")[0])
        self._waiting = (self._waiting | waits.keys()) - {job for job, wait in waits.items() if wait[1] is None}

    def _flush(self, reports: dict[int, ReportValues]) -> None:
        from psycopg import InterfaceError, OperationalError

        from pgjobs.db.connection import ConnectError

        try:
            with self._writing:
                self._write(reports)
        except (OperationalError, InterfaceError, ConnectError) as error:
            log.warning("progress of %d jobs is not written yet: %s", len(reports), str(error).partition("\n")[0])
            with self._lock:
                newer = self._reports
                for job, report in reports.items():
                    newer[job] = report.with_newer(newer[job]) if job in newer else report
            self._reported.set()
        except Exception as error:
            if len(reports) == 1:
                log.error("job %d: PostgreSQL refuses its progress: %s", next(iter(reports)), error)
                return
            for job, report in reports.items():  # what is refused stops no others
                self._flush({job: report})

    def _run(self) -> None:
        while True:
            self._reported.wait()
            self._reported.clear()
            self.flush()
            time.sleep(WRITE_EVERY)

    def _write(self, reports: dict[int, ReportValues]) -> None:
        self._connected().execute(statement("write_progress"), columns(reports))

    def _connected(self) -> psycopg.Connection:
        from pgjobs.db.connection import connect
        from pgjobs.db.installation import connection_name

        if self._connection is None or self._connection.closed:
            url = settings().database_url
            assert url is not None  # noqa: S101 (workers and their children have one)
            self._connection = connect(url, application_name=connection_name("progress"), answer_within=10.0)
        return self._connection


def _number(name: str, value: object) -> float | None:
    if value is None:
        return None
    number = as_number(value)
    if number is None:
        raise UsageError(f"progress({name}={value!r}): give a number.")
    return float(number)


def _state(value: object) -> str:
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"progress(state=…): JSON does not have it ({error}): give strings, numbers, lists and dicts."
        ) from None
    if len(text) > MAX_STATE_BYTES:
        raise UsageError(
            f"progress(state=…) has {len(text):,} bytes of JSON, and {MAX_STATE_BYTES:,} are kept: store it elsewhere "
            "and keep a reference to it."
        )
    if "\\u0000" in text:
        raise UsageError("progress(state=…) has the character U+0000, which PostgreSQL cannot store.")
    return text
