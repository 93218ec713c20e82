"""`pgjobs work`: starts worker processes, replaces those that die, and shuts them down when a signal says so.

A process that dies is replaced at once, or after a pause that grows while new ones die early too. One that asks to be
replaced finishes its jobs beside its successor. What the supervisor knows of a process is in its `WorkerHandle`.

It runs no job itself, so nothing that a job does can stop it. Other threads send the heartbeats and do maintenance.
"""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from pgjobs.core.config import settings
from pgjobs.core.errors import PgjobsError
from pgjobs.worker.config import WorkerConfig
from pgjobs.worker.runtime.process_exit import reap_orphans
from pgjobs.worker.runtime.process_guard import stop_signals, unused_signals
from pgjobs.worker.supervisor.cancel_listener import CancelListener
from pgjobs.worker.supervisor.counts import SupervisorCounts
from pgjobs.worker.supervisor.health import SupervisorState
from pgjobs.worker.supervisor.heartbeat import HeartbeatThread
from pgjobs.worker.supervisor.maintenance import SHUTDOWN_PATIENCE, MaintenanceThread
from pgjobs.worker.supervisor.minutes import Minutes
from pgjobs.worker.supervisor.requests import Requests
from pgjobs.worker.supervisor.revision_watch import RevisionWatch
from pgjobs.worker.supervisor.scheduler import Scheduler
from pgjobs.worker.supervisor.worker_handle import WorkerHandle

if TYPE_CHECKING:
    from pgjobs.telemetry.http_server import HttpServer

log = logging.getLogger("pgjobs.supervisor")
TICK = 0.5  # seconds
SAME_SIGNAL = 0.05  # seconds within which two signals are one
SHORT_LIFE = 10.0  # seconds: a process that dies sooner without having run a job is restarted more slowly each time
MAX_PAUSE = 30.0  # seconds between restarts
MAX_IN_VAIN = 5  # processes in a row that run no job, until a drain gives up


class UnfitError(PgjobsError):
    """No worker process can work."""


def restart_pause(short_lives: int) -> float:
    """Return the seconds to wait before a restart, from the number of short lives in a row."""
    return 0.0 if short_lives <= 1 else min(MAX_PAUSE, 0.5 * 2.0 ** min(short_lives - 2, 10))


class Supervisor:
    """The parent of the worker processes. `run` is for the main thread: it handles signals."""

    def __init__(self, config: WorkerConfig, on_progress: Callable[[int], None] | None) -> None:
        self._config = config
        self._on_progress = on_progress
        self._workers: list[WorkerHandle] = []
        self._short_lives = 0
        self._restarts: list[float] = []  # when the next processes are to be started, monotonic seconds
        self._signals = 0
        self._last_signal = -math.inf
        self._at_once = False  # by SIGQUIT
        self._unused: list[int] = []  # signals that mean nothing, and are to be logged
        self._draining = False
        self._proven = False  # a worker process has registered, so what it imports can be imported
        self._in_vain = 0  # processes in a row that ended without having run a job
        self._unfit: str | None = None  # why to end at once
        self._revision = RevisionWatch()
        self._drained = False  # a process found that nothing more is due
        self._hopeless: str | None = None  # why a drain will not get anywhere
        self._ended_before = 0  # by processes that are gone
        self._lock = threading.Lock()
        self._heartbeat_thread = HeartbeatThread(
            config.database_url, config.heartbeat, config.rescue_after, self._ids, self._gone, self._pass_broadcasts
        )
        self._scheduler = Scheduler(config.database_url, config.role(settings().app))
        self._counts = SupervisorCounts()
        self._maintenance = MaintenanceThread(
            config.database_url,
            config.heartbeat,
            config.rescue_after,
            self._heartbeat_thread,
            self._scheduler,
            self._revision,
            Minutes(self._counts.sums, totals=config.metrics_port is None),
        )
        self._cancel_listener = CancelListener(config.database_url, self._by_id)
        self._turned = time.monotonic()  # when the main loop turned last
        self._last_death: str | None = None  # how the last process ended that died or could not work
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Supervise, and return the exit code."""
        servers = self._endpoints()
        wake_read, wake_write = socket.socketpair()
        for end in (wake_read, wake_write):
            end.setblocking(False)
        self._selector.register(wake_read, selectors.EVENT_READ, None)
        old_wakeup = signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        old = {n: signal.signal(n, self._on_signal) for n in stop_signals()}
        old |= {n: signal.signal(n, self._on_unused_signal) for n in unused_signals()}
        old[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)  # only wakes the loop
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, old)  # its parent may have blocked them
        if not settings().signing_keys:
            log.warning(
                "payloads are not signed: any role that can INSERT into %s.jobs can run code in these workers; to "
                "prevent that, set PGJOBS_SIGNING_KEY here and where jobs are enqueued",
                self._config.schema,
            )
        try:
            self._heartbeat_thread.start()
            self._maintenance.start()
            self._scheduler.start()
            self._cancel_listener.start()
            for server in servers:
                server.start()
                log.info("listening on port %d for %s", server.port, " and ".join(server.paths))
            for _ in range(self._config.processes):
                self._start_worker()
            log.info(
                "%d worker process%s for %s",
                self._config.processes,
                "" if self._config.processes == 1 else "es",
                ", ".join(self._config.shown_queues()),
            )
            self._loop(wake_read)
        finally:
            self._scheduler.stop()
            for server in servers:
                server.stop()
            for worker in self._workers:
                worker.kill()
                self._counts.remove(worker)
                self._reap(worker)
            self._maintenance.stop()
            self._maintenance.join(SHUTDOWN_PATIENCE + 5)
            self._heartbeat_thread.stop()
            self._cancel_listener.stop()
            self._heartbeat_thread.join(5)
            self._scheduler.join(5)
            self._cancel_listener.join(5)
            for number, handler in old.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            signal.set_wakeup_fd(old_wakeup)
            self._selector.close()
            wake_read.close()
            wake_write.close()
        self._revision.check()
        if failure := self._unfit or (None if self._drained else self._hopeless):
            raise UnfitError(failure)
        return 0

    def _endpoints(self) -> list[HttpServer]:
        if self._config.metrics_port is None and self._config.health_port is None:
            return []
        from pgjobs.worker.supervisor.endpoints import endpoints  # imports an HTTP server, which few need

        return endpoints(self._config, self.state, self._counts)

    @property
    def ended(self) -> int:
        """How many jobs have ended, as far as its worker processes have recorded that."""
        return self._ended_before + sum(worker.ended for worker in self._workers)

    def state(self) -> SupervisorState:
        """Return what probes ask for. For any thread."""
        with self._lock:
            workers = [*self._workers]
        registered = [worker for worker in workers if worker.worker_id is not None and not worker.left]
        threads = (self._heartbeat_thread, self._maintenance, self._cancel_listener)
        return SupervisorState(
            idle_for=time.monotonic() - self._turned,
            dead_threads=tuple(thread.name for thread in threads if thread.ident and not thread.is_alive()),
            draining=self._draining,
            wanted=self._config.processes,
            registered=len(registered),
            claiming=sum(worker.trouble is None and not worker.retired and worker.answers() for worker in registered),
            trouble=next((worker.trouble for worker in registered if worker.trouble), None),
            last_death=self._last_death,
            outage=self._heartbeat_thread.outage(),
            misfit=self._revision.misfit,
        )

    def _on_unused_signal(self, number: int, frame: FrameType | None) -> None:
        self._unused.append(number)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._at_once |= number == signal.SIGQUIT
        now = time.monotonic()
        if now - self._last_signal > SAME_SIGNAL:  # some send one to a process and to its group
            self._signals += 1
        self._last_signal = now

    def _loop(self, wake: socket.socket) -> None:
        acted = 0
        while self._workers or (self._restarts and not self._draining):
            self._turned = time.monotonic()
            self._counts.rescued = self._maintenance.rescued
            for key, _ in self._selector.select(TICK):
                if key.data is None:
                    wake.recv(4096)
                else:
                    self._receive(key.data)
            while self._unused:
                log.info("%s means nothing here: ignored", signal.Signals(self._unused.pop()).name)
            if self._at_once:
                log.warning("SIGQUIT: stopping at once")
                return
            if self._signals > acted:
                acted = self._signals
                if acted > 1 and self._draining:
                    log.warning("second signal: stopping at once")
                    return
                self._drain()
            if not self._draining and self._revision.report():
                self._scheduler.stop()
                self._drain()
            for worker in list(self._workers):
                worker.kill_if_blocked()
                if worker.kill_if_overdue():
                    self._remove_worker(worker)
            if os.getpid() == 1:
                reap_orphans({worker.pid for worker in self._workers})
            while self._restarts and self._restarts[0] <= time.monotonic() and not self._draining:
                self._restarts.pop(0)
                self._start_worker()
            if self._unfit:
                return

    def _start_worker(self) -> None:
        try:
            worker = WorkerHandle(self._config)
        except OSError as error:  # no processes, files or memory left
            self._short_lives = max(2, self._short_lives + 1)
            self._in_vain += 1
            self._replace(f"a worker process could not be started: {error}")
            return
        with self._lock:
            self._workers.append(worker)
        self._counts.add(worker)
        self._selector.register(worker.control, selectors.EVENT_READ, worker)

    def _drain(self) -> None:
        self._draining = True
        log.info("draining: no more claims; running jobs have up to %g s", self._config.grace)
        for worker in self._workers:
            worker.drain(self._config.grace)

    def _receive(self, worker: WorkerHandle) -> bool:
        messages = worker.receive()
        for message in messages:
            match message["type"]:
                case "registered":
                    self._proven = True
                case "retiring":
                    if not self._draining and not self._config.drain:
                        self._start_worker()
                case "progress":
                    self._tell_progress()
                case "declared":
                    self._scheduler.take_declared(message)
        if worker.control.ended:
            self._forget(worker)
        return bool(messages)

    def _forget(self, worker: WorkerHandle) -> None:
        try:
            self._selector.unregister(worker.control)
        except (KeyError, ValueError):
            pass  # it was forgotten before

    def _tell_progress(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.ended)

    def _remove_worker(self, worker: WorkerHandle) -> None:
        while self._receive(worker):
            pass  # its last messages
        self._forget(worker)
        with self._lock:
            self._workers.remove(worker)
        self._ended_before += worker.ended
        has_worked = worker.has_worked()
        self._counts.remove(worker)
        how = self._reap(worker)
        if how or worker.unfit or worker.did_not_end:
            self._counts.deaths += 1
        if how or worker.unfit:
            self._last_death = worker.unfit or how
        if self._draining or self._unfit:
            return
        if worker.unfit and not self._proven:
            self._unfit = worker.unfit  # as it stands, the application cannot be imported
            return
        if worker.retired:
            if self._config.drain:
                self._restarts.append(time.monotonic())
            return
        if worker.left and self._config.drain:  # nothing more was due, or nothing could be done
            self._hopeless, self._drained = worker.unfit, self._drained or not worker.unfit
            return
        # A process that ran jobs was ended by one of them. That job waits for its own backoff; the others need not.
        self._short_lives = self._short_lives + 1 if worker.age() < SHORT_LIFE and not has_worked else 0
        self._in_vain = 0 if has_worked else self._in_vain + 1
        if worker.unfit:
            self._replace(f"worker process {worker.pid} cannot work: {worker.unfit}")
        else:
            self._replace(how and f"worker process {worker.pid} died: {how}")

    def _replace(self, what: str | None) -> None:
        """Start a process in the place of another one. `what` happened to that; None: it was killed on purpose.

        As long as it takes: the other processes work meanwhile. But a drain that gets nowhere ends.
        """
        if what and self._config.drain and self._in_vain >= MAX_IN_VAIN:
            self._hopeless = f"{self._in_vain} worker processes in a row ran no job; the last: {what}"
            return
        pause = restart_pause(self._short_lives)
        if what:
            log.error("%s; a new one starts in %.1f s", what, pause)
        self._restarts.append(time.monotonic() + pause)
        self._restarts.sort()

    def _reap(self, worker: WorkerHandle) -> str | None:
        how = worker.exit_reason()
        if worker.worker_id is not None:
            self._maintenance.worker_exited(worker.exit_record(how))
        worker.close()
        return how

    def _by_id(self) -> dict[int, Requests]:
        with self._lock:
            return {worker.worker_id: worker.requests for worker in self._workers if worker.worker_id is not None}

    def _ids(self) -> list[int]:
        with self._lock:
            return [worker.worker_id for worker in self._workers if worker.worker_id is not None]

    def _pass_broadcasts(self, worker_ids: set[int]) -> None:
        """Pass on to workers that they have broadcasts to run. Called by the heartbeat thread."""
        for worker_id, requests in self._by_id().items():
            if worker_id in worker_ids:
                requests.look_for_broadcasts()

    def _gone(self, worker_id: int) -> None:
        """Kill a worker that others considered dead: it no longer owns its jobs. Called by the heartbeat thread."""
        with self._lock:
            for worker in self._workers:
                if worker.worker_id == worker_id and not worker.kill_if_overdue():
                    log.error(
                        "worker %d was considered dead and its jobs were taken back: it is replaced",
                        worker_id,
                    )
                    worker.kill()
