"""What a worker process tells the circuit breakers, and does when one opens.

Calls are told in batches: at once when there was none for a while, else several times a second, in one short
transaction for each breaker. The thread and its connection are made for the first job that has a breaker; without any
there are none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pgjobs.db.breakers import declare_breaker, lock_breaker, write_breaker
from pgjobs.db.statements import statement
from pgjobs.flow.breaker import Breaker, contradictions, declared
from pgjobs.flow.breaker_state import BreakerState, Call, after_calls, totals
from pgjobs.jobs.outcome import COMPLETED, RELEASED, Failed, Outcome, Retried
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgjobs.worker.local.claimed_job import ClaimedJob
    from pgjobs.worker.local.local_queue import LocalQueue, Outbox

log = logging.getLogger("pgjobs.breaker")
EVERY = 0.15  # seconds between two batches
SHUTDOWN_PATIENCE = 5.0  # seconds that the last batch may take, when the worker stops


class BreakerRecorder:
    """Notes how jobs with breakers ended, and hands their claimed jobs back when a breaker opens.

    `who`: what stands in the row as who changed it. `lanes`: where claimed jobs wait. `link` makes the connection with
    the given stop, when the first job with a breaker has ended.
    """

    def __init__(
        self,
        link: Callable[[threading.Event], ReconnectingConnection],
        who: str,
        local_queues: Iterable[LocalQueue],
        outbox: Outbox,
    ) -> None:
        self._make_link = link
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
        """Take in how a job ended that has a breaker; `seconds`: how long it ran. Only ever from one thread."""
        if outcome is COMPLETED:
            succeeded: bool | None = True
        else:
            succeeded = outcome.answered if isinstance(outcome, Retried | Failed) else None
        if succeeded is None or job.breaker is None:
            return
        self._noted.append((job.breaker, time.monotonic() - (seconds or 0.0), succeeded))
        self.start()
        self._woken.set()

    def start(self) -> None:
        """Start the thread, if it is not there: to write down what jobs that were imported declare, to begin with."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="pgjobs-breakers", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the limit of threads is reached; the next job tries again
                log.warning("breakers are not told how jobs end: %s", error)
            else:
                self._thread = thread

    def stop(self) -> None:
        """Tell what is left, and end."""
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(SHUTDOWN_PATIENCE)

    def _run(self) -> None:
        """Work until told to stop; nothing unexpected stops it, for breakers are a help and not a condition."""
        link = self._make_link(self._stopping)
        try:
            while True:
                try:
                    self._work(link)
                    return
                except Stopped:
                    return
                except Exception:
                    log.exception("writing circuit breakers failed; they are written again in a moment")
                    self._pending.clear()  # it may be what it stumbles over
                    if self._stopping.wait(1.0):
                        return
        finally:
            link.close()

    def _work(self, link: ReconnectingConnection) -> None:
        while True:
            last = self._stopping.is_set()
            link.run(self._flush)
            if last:
                return
            self._stopping.wait(EVERY)
            self._woken.wait(EVERY if self._claimed() else None)
            self._woken.clear()

    def _claimed(self) -> set[str]:
        """Name the breakers of the jobs that were claimed and have not started."""
        return {
            job.breaker
            for local_queue in self._local_queues
            for job in list(local_queue.inbox.jobs)
            if job.breaker is not None
        }

    def _flush(self, link: ReconnectingConnection) -> None:
        """Write down new settings, tell breakers their calls, and hand back the claimed jobs of those that are open."""
        for breaker in declared().values():
            if self._written.get(breaker.name) != breaker:
                self._declare(link, breaker)
        self._gather()
        for name in list(self._pending):
            self._tell(link, name, self._pending[name])
            del self._pending[name]
        if claimed := self._claimed():
            with link.hot_cursor() as cursor:
                rows = cursor.execute(statement("open_breakers"), {"names": sorted(claimed)}).fetchall()
            self._hand_back({row[0] for row in rows})

    def _declare(self, link: ReconnectingConnection, breaker: Breaker) -> None:
        with link.hot_cursor() as cursor:
            declare_breaker(cursor, breaker)
        self._written[breaker.name] = breaker
        if different := contradictions().get(breaker.name):
            log.warning(
                "breaker %s is made more than once in the code, with different %s: the last one counts; make one, "
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

    def _tell(self, link: ReconnectingConnection, name: str, noted: list[tuple[float, bool]]) -> None:
        with link.hot_cursor() as cursor, cursor.connection.transaction():
            here = time.monotonic()
            before, breaker, now = lock_breaker(cursor, name, declared().get(name))
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
            for job in local_queue.inbox.take_of(names):
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
