"""One worker process: sets up its queues, then runs, drains and exits.

The main thread only listens to the supervisor and looks at numbers; producers, executors and the acknowledger have
threads of their own.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from importlib import import_module
from queue import SimpleQueue
from typing import Any

from pgjobs.core.config import configure
from pgjobs.core.text import one_line
from pgjobs.db.connection import connect_hot
from pgjobs.db.limits import LimitWriter
from pgjobs.db.statements import load_statements
from pgjobs.flow.breaker import declared_breakers
from pgjobs.worker.acknowledge.acknowledger import Acknowledger, labels
from pgjobs.worker.acknowledge.breaker_recorder import BreakerRecorder
from pgjobs.worker.cancellations import Cancellations
from pgjobs.worker.claim.producer import Producer
from pgjobs.worker.config import STUCK_AFTER, WorkerConfig
from pgjobs.worker.executors.child_process import ChildProcess
from pgjobs.worker.executors.event_loop import EventLoopExecutor
from pgjobs.worker.executors.threads import ThreadExecutor
from pgjobs.worker.executors.timeouts import Watchdog
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.local.producer_signals import Rescan
from pgjobs.worker.runtime.control_channel import ControlChannel, Message
from pgjobs.worker.runtime.process_guard import FILES_CLOSED, intact, survive_timers
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stop, Stopped
from pgjobs.worker.runtime.recycling import memory_used, should_recycle
from pgjobs.worker.runtime.registration import OwnHeartbeat, application_name, claim_role, register
from pgjobs.worker.runtime.scoreboard import Scoreboard

log = logging.getLogger("pgjobs.worker")
TICK = 0.25  # seconds: how often the main thread looks
SOON = 0.03  # seconds until it looks at what producers that it has just woken have found
REPLACE_ME = 75  # exit code: a job did not stop, so this process should not continue (EX_TEMPFAIL)


class WorkerProcess:
    """Everything in one worker process."""

    def __init__(
        self,
        config: WorkerConfig,
        control: ControlChannel,
        requests: socket.socket,
        scoreboard: Scoreboard,
        heard: list[Message],
    ) -> None:
        self._config = config
        self._control = control
        self._requests = requests  # to cancel jobs
        self._scoreboard = scoreboard
        self._stop_claiming = threading.Event()
        self._failed_over = threading.Event()
        self._hurry = threading.Event()  # acknowledge within the grace; a worker that only retires has no deadline
        self._asked_to_drain = any(message["type"] == "drain" for message in heard)
        self._stuck: set[ClaimedJob] = set()
        self._outbox: Outbox = SimpleQueue()
        self._local_queues: list[LocalQueue] = []
        self._told = 0
        self._declared = LimitWriter()
        self._worker_id = 0  # until it is registered

    def run(self) -> int:
        """Work until told to stop, and return the exit code."""
        config = self._config
        configure(**config.settings())
        load_statements()
        from pgjobs.telemetry.logs import configure_logging

        configure_logging(config.log_level, config.log_format)  # type: ignore[arg-type]  # the supervisor checked it
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's business
        signal.signal(signal.SIGTERM, self._on_sigterm)
        survive_timers()
        for module in config.imports:
            try:
                import_module(module)
            except BaseException as error:  # a module may raise anything while it is imported
                self._control.send("unfit", error=one_line(f"cannot import {module}: {type(error).__name__}: {error}"))
                return 1
        if config.imports:
            from pgjobs.schedules.schedule import declared_schedules

            self._control.send("schedules", schedules=[schedule.to_message() for schedule in declared_schedules()])
        try:
            worker_id = self._worker_id = self._server("register", stop=self).run(self._register)
        except Stopped:
            return 0
        self._control.send("registered", worker_id=worker_id)
        acknowledger, producers, executors = self._start(worker_id)
        self._work(acknowledger)
        return self._finish(acknowledger, producers, executors)

    def wait(self, timeout: float) -> bool:
        """Wait for the supervisor, and return True if this process is to stop. It is a `Stop` for connections, too."""
        self._scoreboard.tick()
        self._check_files()  # if the channel's file was replaced, what comes is another reader's
        self._asked_to_drain |= any(message["type"] == "drain" for message in self._control.receive(timeout))
        if self._control.ended:
            self._check_files()
        return self._asked_to_drain or self._control.ended

    def _check_files(self) -> None:
        if not intact():
            log.critical("a job closed files of this worker process: it exits at once, and a new one takes its place")
            os._exit(FILES_CLOSED)

    def _on_sigterm(self, *_: Any) -> None:
        self._asked_to_drain = True

    def _register(self, server: ReconnectingConnection) -> int:
        try:
            connection = server.connection  # whether it is pooled is known once it is made
            self._declared.write(connection)
            return register(
                connection, self._config.queues, rescue_after=self._config.rescue_after, pooled=server.pooled
            )
        finally:
            server.close()

    def _server(self, role: str, *, async_commit: bool = False, stop: Stop | None = None) -> ReconnectingConnection:
        name = application_name(self._worker_id, role)
        return ReconnectingConnection(
            name,
            lambda: connect_hot(self._config.database_url, application_name=name, async_commit=async_commit),
            self._stop_claiming if stop is None else stop,
            async_commit=async_commit,
        )

    def _start(self, worker_id: int) -> tuple[Acknowledger, list[Producer], list[ThreadExecutor]]:
        config = self._config
        names = [queue.name for queue in config.queues]
        host = socket.gethostname()
        self._breakers = BreakerRecorder(
            lambda stop: self._server("breakers", async_commit=True, stop=stop),
            f"worker {worker_id} ({host}, {os.getpid()})",
            self._local_queues,
            self._outbox,
        )
        acknowledger = Acknowledger(
            self._outbox,
            self._server("acknowledge", stop=self._hurry),
            worker_id,
            host,
            config.grace,
            names,
            self._breakers,
        )
        watchdog = Watchdog(self._on_stuck)
        self._loop = loop = EventLoopExecutor(self._outbox, watchdog, self._scoreboard)
        child_config = config.for_child()
        producers, executors, first_slot = [], [], 0
        for queue in config.queues:
            local_queue = LocalQueue(queue.name, queue.concurrency, first_slot)
            first_slot += queue.concurrency
            server = self._server(claim_role(queue.name), async_commit=True)
            producers.append(
                Producer(local_queue, self._outbox, server, worker_id, self._stop_claiming, self._failed_over)
            )
            executors.append(
                ThreadExecutor(
                    local_queue, self._outbox, loop, watchdog, self._scoreboard, lambda: ChildProcess(child_config)
                )
            )
            self._local_queues.append(local_queue)
        acknowledger.start()
        for executor in executors:
            executor.start()
        for producer in producers:
            producer.start()
        if declared_breakers():
            self._breakers.start()
        Cancellations(self._requests, dict(zip(self._local_queues, executors, strict=True)), loop, self._outbox).start()
        return acknowledger, producers, executors

    def _on_stuck(self, job: ClaimedJob) -> None:
        """Record a job that ran on after its timeout: this process will be replaced. Called by the watchdog."""
        guilty = self._loop.blocker(job)
        if guilty is job:
            seen = f"did not stop {STUCK_AFTER:g} s after its timeout"
            what = f"ran longer than its {job.timeout or 0:g} s and did not stop"
        else:
            seen = what = f"blocked the event loop, so that job {job.id} could not be ended at its timeout"
        log.error("%s; this worker process finishes its other jobs and is then replaced", seen, extra=labels(guilty))
        error = f"JobTimeout: {what}; its worker was replaced"
        self._control.send("stuck", job_id=guilty.id, claim_number=guilty.claim_number, error=error)
        self._stuck.add(guilty)

    def _work(self, acknowledger: Acknowledger) -> None:
        pause = TICK
        while not self.wait(pause):
            pause = TICK
            if self._declared.has_news():  # a job imported a module that declares limits
                self._declare()
            if self._config.drain:
                self._tell_progress(acknowledger)
                if not any(local_queue.unfinished() for local_queue in self._local_queues):
                    if self._nothing_is_due():
                        return
                    pause = SOON
            if self._stuck or self._has_failed_over() or self._should_recycle(acknowledger.settled):
                self._control.send("retiring")
                return
        if self._control.ended:
            log.error("the supervisor is gone: this worker process finishes its running jobs, then exits")

    def _declare(self) -> None:
        try:
            self._server("limits", stop=self).run(self._write_declared)
        except Stopped:
            self._asked_to_drain = True

    def _write_declared(self, server: ReconnectingConnection) -> None:
        try:
            self._declared.write(server.connection)
        finally:
            server.close()

    def _has_failed_over(self) -> bool:
        if not self._failed_over.is_set():
            return False
        log.warning("PostgreSQL has failed over: this worker process finishes its jobs and is then replaced")
        return True

    def _should_recycle(self, jobs: int) -> bool:
        reason = should_recycle(jobs, memory_used(), self._config.max_jobs, self._config.max_memory)
        if reason:
            log.info("%s: this worker process finishes its jobs and is then replaced", reason)
        return reason is not None

    def _tell_progress(self, acknowledger: Acknowledger) -> None:
        if acknowledger.settled != self._told:
            self._told = acknowledger.settled
            self._control.send("progress", settled=self._told)

    def _nothing_is_due(self) -> bool:
        last_end = max(local_queue.end_stats.last_end for local_queue in self._local_queues)
        behind = [local_queue for local_queue in self._local_queues if local_queue.claim_stats.empty_since <= last_end]
        for local_queue in behind:
            local_queue.signals.send(Rescan())  # look now, and not when the doorbell has to be armed again
        return not behind

    def _finish(self, acknowledger: Acknowledger, producers: list[Producer], executors: list[ThreadExecutor]) -> int:
        """Drain: stop claiming, hand back what has not started, wait for running jobs, flush. Return the exit code.

        Jobs that still run after that are handed back by the supervisor, once this process is gone.
        """
        self._stop_claiming.set()
        for local_queue in self._local_queues:
            local_queue.signals.wake()
        for producer in producers:
            producer.join(max(1.0, self._config.grace))
        for executor in executors:
            executor.stop()
        deadline = None  # a worker that only retires sets its jobs no limit
        loop_responds = self._loop.ping()  # if a job blocks it, the others there will not end
        heartbeat = OwnHeartbeat(
            self._config.database_url, self._worker_id, self._config.heartbeat, self._config.rescue_after
        )
        while self._running():
            if self._asked_to_drain or self._control.ended:
                self._hurry.set()
            if not (self._asked_to_drain or self._control.ended) and loop_responds.is_set():
                deadline = None
            elif deadline is None:
                deadline = time.monotonic() + self._config.grace
            elif time.monotonic() >= deadline:
                break
            if self._control.ended:
                if not heartbeat.send_if_due():
                    break
                time.sleep(0.05)
            else:
                self.wait(0.05)
        self._hurry.set()
        acknowledger.stop()
        acknowledger.join(max(5.0, self._config.grace))
        self._breakers.stop()
        self._tell_progress(acknowledger)
        left = self._running()
        if left:
            who = "another supervisor rescues" if self._control.ended else "the supervisor hands back"
            log.warning("%d jobs still run after %g s of grace: %s them", left, self._config.grace, who)
        for executor in executors:
            executor.kill_children()
        self._control.send("leaving")
        return REPLACE_ME if self._stuck else 0

    def _running(self) -> int:
        """Return the number of jobs that have not ended or are not acknowledged, without those that do not stop."""
        return sum(len(local_queue.unfinished() - self._stuck) for local_queue in self._local_queues)
