"""Records calls for circuit breakers, and hands claimed jobs back when a breaker opens.

Calls are written in batches: at once after a quiet time, else several times a second, in one short transaction for each
breaker. The thread and its connection are made for the first job that has a breaker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from pgjobs.db.breakers import declare_breaker, lock_breaker, write_breaker
from pgjobs.db.encoding import can_store
from pgjobs.db.statements import statement
from pgjobs.flow.breaker import Breaker, contradictions, declared_breakers
from pgjobs.flow.breaker_state import BreakerState, Call, after_calls, totals
from pgjobs.jobs.outcome import RELEASED, Completed, Failed, Outcome, Retried
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgjobs.worker.local.claimed_job import ClaimedJob
    from pgjobs.worker.local.local_queue import LocalQueue, Outbox

log = logging.getLogger("pgjobs.breaker")
EVERY = 0.15  # seconds between two batches
SHUTDOWN_PATIENCE = 5.0  # seconds that the last batch may take, when the worker stops


class BreakerRecorder:
    """Records how jobs with breakers ended, and hands claimed jobs back when their breaker opens.

    `who`: the name of this worker in the breaker's row. `local_queues`: where claimed jobs wait. `connect` makes the
    connection, with the given stop, when the first job with a breaker has ended.
    """

    def __init__(
        self,
        connect: Callable[[threading.Event], ReconnectingConnection],
        who: str,
        local_queues: Iterable[LocalQueue],
        outbox: Outbox,
    ) -> None:
        self._connect = connect
        self._who = who
        self._local_queues = local_queues
        self._outbox = outbox
        self._noted: deque[tuple[str, float, bool]] = deque()  # breaker, when it began (monotonic seconds), succeeded
        self._pending: dict[str, list[tuple[float, bool]]] = {}  # what the thread has taken and not written
        self._written: dict[str, Breaker] = {}  # the settings that this process has written down
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, job: ClaimedJob, outcome: Outcome, seconds: float | None) -> None:
        """Record how a job with a breaker ended; `seconds`: how long it ran. From the acknowledger's thread alone."""
        if isinstance(outcome, Completed):
            succeeded: bool | None = True
        else:
            succeeded = outcome.answered if isinstance(outcome, Retried | Failed) else None
        if succeeded is None or job.breaker is None:
            return
        self._noted.append((job.breaker, time.monotonic() - (seconds or 0.0), succeeded))
        self.start()
        self._woken.set()

    def start(self) -> None:
        """Start the thread if it does not run. It first writes the breakers that imported modules declare."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="pgjobs-breakers", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the limit of threads is reached; the next job tries again
                log.warning(
                    "calls are not recorded for circuit breakers; the next job tries to start the thread again: %s",
                    error,
                )
            else:
                self._thread = thread

    def stop(self) -> None:
        """Write what is left, then end."""
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(SHUTDOWN_PATIENCE)

    def _run(self) -> None:
        """Work until stopped. No error ends the thread: jobs run without breakers, too."""
        server = self._connect(self._stopping)
        try:
            while True:
                try:
                    self._work(server)
                    return
                except Stopped:
                    return
                except Exception:
                    log.exception("writing circuit breakers failed; retrying in 1 s without the last calls")
                    self._pending.clear()  # they may be the cause
                    if self._stopping.wait(1.0):
                        return
        finally:
            server.close()

    def _work(self, server: ReconnectingConnection) -> None:
        while True:
            last = self._stopping.is_set()
            server.run(self.flush)
            if last:
                return
            self._stopping.wait(EVERY)
            self._woken.wait(EVERY if self._claimed() or self._pending else None)
            self._woken.clear()

    def _claimed(self) -> set[str]:
        """Return the breakers of claimed jobs that have not started."""
        return {
            job.breaker
            for local_queue in self._local_queues
            for job in list(local_queue.inbox.jobs)
            if job.breaker is not None
        }

    def flush(self, server: ReconnectingConnection) -> None:
        """Write new settings and recorded calls, and hand back the claimed jobs of open breakers."""
        import psycopg

        for breaker in declared_breakers().values():
            # No job can have a breaker whose name the database cannot hold.
            if self._written.get(breaker.name) != breaker and can_store(server.connection, breaker.name):
                with suppress(psycopg.errors.LockNotAvailable):  # it is written the next time
                    self._declare(server, breaker)
        self._gather()
        for name in list(self._pending):
            try:
                self._record_calls(server, name, self._pending[name])
            except psycopg.errors.LockNotAvailable:
                continue  # another transaction has the breaker's row: the calls are written the next time
            del self._pending[name]
        if claimed := self._claimed():
            with server.hot_cursor() as cursor:
                rows = cursor.execute(statement("open_breakers"), {"names": sorted(claimed)}).fetchall()
            self._hand_back({row[0] for row in rows})

    def _declare(self, server: ReconnectingConnection, breaker: Breaker) -> None:
        with server.hot_cursor() as cursor:
            declare_breaker(cursor, breaker)
        self._written[breaker.name] = breaker
        if different := contradictions().get(breaker.name):
            log.warning(
                "breaker %s is defined more than once, with different %s: the last definition counts; define it once, "
                "and give it to all jobs that share it",
                breaker.name,
                ", ".join(different),
            )

    def _gather(self) -> None:
        noted, pending = self._noted, defaultdict(list, self._pending)
        for _ in range(len(noted)):
            name, began, succeeded = noted.popleft()
            pending[name].append((began, succeeded))
        self._pending = dict(pending)

    def _record_calls(self, server: ReconnectingConnection, name: str, noted: list[tuple[float, bool]]) -> None:
        with server.hot_cursor() as cursor, cursor.connection.transaction():
            here = time.monotonic()
            before, breaker, now = lock_breaker(cursor, name, declared_breakers().get(name))
            calls = [Call(now - (here - began), succeeded) for began, succeeded in noted]
            after = after_calls(before, breaker, calls, now)
            changed = after.state != before.state or after.since != before.since
            if after != before:
                write_breaker(cursor, name, after, self._who if changed else None)
            if changed and after.state == "closed":
                cursor.execute(statement("notify_all_queues"))
        if changed:
            _report(name, before, after, breaker, now)
            if after.state == "closed":
                for local_queue in self._local_queues:
                    local_queue.signals.wake()

    def _hand_back(self, names: set[str]) -> None:
        for local_queue in self._local_queues if names else ():
            for job in local_queue.inbox.take_with_breakers(names):
                self._outbox.put((job, RELEASED, None))


def _report(name: str, before: BreakerState, after: BreakerState, breaker: Breaker, now: float) -> None:
    extra = {"breaker": name, "state": after.state}
    if after.state == "open":
        log.warning(
            "breaker %s is open for %g s (it was %s): %s",
            name,
            after.until - now,
            before.state.replace("_", "-"),
            after.reason,
            extra=extra,
        )
    elif after.state == "closed":
        log.warning("breaker %s is closed again: %s", name, after.reason, extra=extra)
    else:
        log.info("breaker %s is half-open: %d of %d probes succeeded", name, after.passed, breaker.probes, extra=extra)
    log.debug("breaker %s counted %d calls before, %d of them failed", name, *totals(before.window), extra=extra)
