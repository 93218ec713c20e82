"""The main thread of a worker process: registers it, then works, drains and exits.

It only listens to the supervisor and looks at numbers; the work is done by other threads (`process_threads`).
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import time
from dataclasses import asdict
from importlib import import_module
from typing import Any

from pgjobs.core.config import configure
from pgjobs.core.errors import EnqueueError, HookError
from pgjobs.core.text import one_line
from pgjobs.db.limits import LimitWriter
from pgjobs.db.statements import load_statements
from pgjobs.effects import serve_reports
from pgjobs.hooks.lifetime import run_start_hooks
from pgjobs.worker.acknowledge.outcome_log import labels
from pgjobs.worker.config import STUCK_AFTER, WorkerConfig
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.process_threads import SHORTAGE_LASTS, ProcessThreads, server_for
from pgjobs.worker.runtime.control_channel import ControlChannel, Message
from pgjobs.worker.runtime.monkey_patches import monkey_patches
from pgjobs.worker.runtime.process_guard import (
    FILES_CLOSED,
    handle_signals,
    intact,
    stop_signals,
    survive_timers,
    unused_signals,
)
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped
from pgjobs.worker.runtime.recycling import memory_used, should_recycle
from pgjobs.worker.runtime.registration import OwnHeartbeat, awaiting_broadcasts, register
from pgjobs.worker.runtime.scoreboard import Scoreboard
from pgjobs.workflows.serve import serve_steps

log = logging.getLogger("pgjobs.worker")
COUNTS_EVERY = 1.0  # seconds
TICK = 0.25  # seconds: how often the main thread looks
SOON = 0.03  # seconds until it looks at what producers that it has just woken have found
ENDS_WITHIN = 0.5  # seconds from the last look to the end of a drain, about
CLEAN_UP = 5.0  # seconds that coroutines have after they were cancelled because the grace is over
GRACES_BESIDE_STUCK = 10  # that the other jobs of a process have which is replaced because one does not stop
REPLACE_ME = 75  # exit code: a job did not stop, so this process should not continue (EX_TEMPFAIL)


class WorkerProcess:
    """Runs one worker process in its main thread, from the configuration to the exit code.

    `control`: the channel to the supervisor; `heard`: messages that came together with the configuration. `requests`:
    where requests to cancel jobs arrive.
    """

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
        self._asked_to_drain = any(message["type"] == "drain" for message in heard)
        self._stuck: set[ClaimedJob] = set()
        self._told = 0
        self._trouble: str | None = None  # with claiming, as the supervisor knows it
        self._next_counts = 0.0  # monotonic seconds
        self._limits = LimitWriter()
        self._worker_id = 0  # until it is registered
        self._has_broadcasts = False  # that it is to run as it starts

    def run(self) -> int:
        """Work until told to stop, and return the exit code."""
        config = self._config
        configure(**config.settings())
        serve_reports()
        serve_steps()
        load_statements()
        from pgjobs.telemetry.logs import configure_logging

        configure_logging(config.log_level, config.log_format)  # type: ignore[arg-type]  # the supervisor checked it
        # Ctrl-C and a terminal that closes are the supervisor's.
        for_others = [*stop_signals(), *unused_signals()]
        handle_signals({**{number: lambda *_: None for number in for_others}, signal.SIGTERM: self._stop_early})
        survive_timers()
        for module in config.modules():
            try:
                import_module(module)
            except BaseException as error:  # a module may raise anything while it is imported
                self._control.send("unfit", error=one_line(f"cannot import {module}: {type(error).__name__}: {error}"))
                return 1
            if patches := monkey_patches():
                self._control.send("unfit", error=f"{module} was imported, and {patches}")
                return 1
        try:
            run_start_hooks()
        except HookError as error:
            self._control.send("unfit", error=one_line(str(error)))
            return 1
        handle_signals({signal.SIGTERM: self._on_sigterm})
        if config.imports:
            from pgjobs.events.subscribe import declared_subscriptions, declared_topics
            from pgjobs.jobs.pipeline import declared_pipelines
            from pgjobs.pipelines.stored import StoredPipeline
            from pgjobs.schedules.schedule import declared_schedules

            try:
                schedules = [schedule.to_message() for schedule in declared_schedules()]
            except EnqueueError as error:
                self._control.send("unfit", error=one_line(f"a schedule cannot be declared: {error}"))
                return 1
            self._control.send(
                "declared",
                schedules=schedules,
                subscriptions=[each.to_message() for each in declared_subscriptions()],
                topics=[asdict(each) for each in declared_topics()],
                pipelines=[StoredPipeline.of(each).to_message() for each in declared_pipelines()],
            )
        try:
            worker_id = self._worker_id = self._server("register").run(self._register)
        except Stopped:
            return 0
        self._control.send("registered", worker_id=worker_id)
        self._threads = ProcessThreads(config, worker_id, self._requests, self._scoreboard, self._on_stuck)
        self._threads.start()
        if self._has_broadcasts:
            self._threads.broadcasts.wake()
        self._work()
        return self._drain()

    def wait(self, timeout: float) -> bool:
        """Wait for the supervisor, and return True if this process is to stop. It is a `Stop` for connections, too."""
        self._scoreboard.tick()
        self._check_files()  # if the channel's file was replaced, what comes is another reader's
        if any(message["type"] == "drain" for message in self._control.receive(timeout)):
            self._asked_to_drain = True  # not `|=`, which would undo what a signal does meanwhile
        if self._control.ended:
            self._check_files()
        return self._asked_to_drain or self._control.ended

    def _check_files(self) -> None:
        if not intact():
            log.critical("a job closed files of this worker process: it exits at once, and a new one takes its place")
            os._exit(FILES_CLOSED)

    def _stop_early(self, *_: Any) -> None:
        """Leave while modules are imported, which may take long; there is nothing to hand back yet."""
        os._exit(0)

    def _on_sigterm(self, *_: Any) -> None:
        self._asked_to_drain = True

    def _register(self, server: ReconnectingConnection) -> int:
        try:
            connection = server.connection  # whether it is pooled is known once it is made
            self._limits.write(connection)
            worker_id = register(
                connection, self._config.queues, rescue_after=self._config.rescue_after, pooled=server.pooled
            )
            self._has_broadcasts = bool(awaiting_broadcasts(connection, [worker_id]))
            return worker_id
        finally:
            server.close()

    def _server(self, role: str) -> ReconnectingConnection:
        return server_for(self._config, self._worker_id, role, self)

    def _on_stuck(self, job: ClaimedJob) -> None:
        """Record a job that ran on after its timeout: this process will be replaced. Called by the watchdog."""
        guilty = self._threads.blocker(job)
        if guilty is job:
            seen = f"did not stop {STUCK_AFTER:g} s after its timeout"
            what = f"ran longer than its {job.timeout or 0:g} s and did not stop"
        else:
            seen = what = f"blocked the event loop, so that job {job.id} could not be ended at its timeout"
        log.error("%s; this worker process finishes its other jobs and is then replaced", seen, extra=labels(guilty))
        error = f"JobTimeout: {what}; its worker was replaced"
        self._control.send("stuck", job_id=guilty.id, claim_number=guilty.claim_number, error=error)
        self._stuck.update(guilty.members)

    def _work(self) -> None:
        """Listen until it is time to drain."""
        threads, pause = self._threads, TICK
        settled, settled_at = 0, time.monotonic()
        while not self.wait(pause):
            pause = TICK
            if patches := monkey_patches():
                self._control.send("unfit", error=f"a job imported a module, and {patches}")
                return
            threads.add_found_queues()
            self._report()
            if self._limits.has_news():  # a job imported a module that declares limits
                self._declare_limits()
            if self._config.drain:
                self._tell_progress()
                if not threads.unfinished() and not threads.broadcasts.busy:
                    if threads.nothing_is_due() and not self._is_due_soon():
                        return
                    pause = SOON
                if settled != threads.settled:
                    settled, settled_at = threads.settled, time.monotonic()
                elif time.monotonic() - settled_at > SHORTAGE_LASTS and (reason := threads.cannot_begin()):
                    self._control.send("unfit", error=f"no job can begin: {reason}")
                    return
            if self._is_stuck() or self._has_failed_over() or self._should_recycle(threads.settled):
                self._control.send("retiring")
                return
        if self._control.ended:
            log.error("the supervisor is gone: this worker process finishes its running jobs, then exits")

    def _is_stuck(self) -> bool:
        return bool(self._stuck) or self._threads.broadcasts.stuck

    def _declare_limits(self) -> None:
        try:
            self._server("limits").run(self._write_limits)
        except Stopped:
            self._asked_to_drain = True

    def _write_limits(self, server: ReconnectingConnection) -> None:
        try:
            self._limits.write(server.connection)
        finally:
            server.close()

    def _has_failed_over(self) -> bool:
        if not self._threads.failed_over.is_set():
            return False
        log.warning("PostgreSQL has failed over: this worker process finishes its jobs and is then replaced")
        return True

    def _should_recycle(self, jobs: int) -> bool:
        memory = 0 if self._config.max_memory is None else memory_used()
        reason = should_recycle(jobs, memory, self._config.max_jobs, self._config.max_memory)
        if reason:
            log.info("%s: this worker process finishes its jobs and is then replaced", reason)
        return reason is not None

    def _is_due_soon(self) -> bool:
        """Return True if a job, such as a retry, is due since the last look, or will be before this process has ended.

        All queues are looked at again then.
        """
        try:
            seconds = self._server("drain").run(self._due_in)
        except Stopped:
            self._asked_to_drain = True
            return True
        if seconds is None:
            return False
        self._threads.look_again(seconds)
        return True

    def _due_in(self, server: ReconnectingConnection) -> float | None:
        try:
            return self._threads.due_in(server, ENDS_WITHIN)
        finally:
            server.close()

    def _report(self) -> None:
        """Send the supervisor whether claiming works, and write what was counted for metrics."""
        trouble = self._threads.claim_trouble()
        if trouble != self._trouble:
            self._trouble = trouble
            self._control.send("claims", trouble=trouble)
        if time.monotonic() >= self._next_counts:
            self._next_counts = time.monotonic() + COUNTS_EVERY
            self._threads.publish_counts()

    def _tell_progress(self) -> None:
        if self._threads.ended != self._told:
            self._told = self._threads.ended
            self._control.send("progress", ended=self._told)

    def _drain(self) -> int:
        """Stop claiming, hand back what has not started, wait for running jobs, flush. Return the exit code.

        Jobs that still run after that are handed back by the supervisor, once this process is gone.
        """
        threads = self._threads
        threads.stop_claiming()
        # A worker that only retires sets its jobs no limit. Beside a job that does not stop they have one: it may hold
        # a lock that they wait for.
        last = time.monotonic() + GRACES_BESIDE_STUCK * self._config.grace if self._is_stuck() else math.inf
        deadline = math.inf
        loop_responds = threads.ping_loop()  # if a job blocks it, the others there will not end
        heartbeat = OwnHeartbeat(
            self._config.database_url, self._worker_id, self._config.heartbeat, self._config.rescue_after
        )
        while self._running():
            self._report()
            if self._asked_to_drain or self._control.ended:
                threads.hurry.set()
            if not (self._asked_to_drain or self._control.ended) and loop_responds.is_set():
                deadline = math.inf
            elif deadline == math.inf:
                deadline = time.monotonic() + self._config.grace
            if time.monotonic() >= min(deadline, last):
                break
            if self._control.ended:
                if not heartbeat.send_if_due():
                    break
                time.sleep(0.05)
            else:
                self.wait(0.05)
        if self._running():
            threads.end_coroutines()
            deadline = time.monotonic() + CLEAN_UP
            while threads.has_coroutines and time.monotonic() < deadline:
                self._scoreboard.tick()  # or the supervisor takes this process for blocked
                time.sleep(0.02)
        threads.flush()
        threads.publish_counts()
        self._tell_progress()
        left = self._running()
        if left:
            who = "another supervisor rescues" if self._control.ended else "the supervisor hands back"
            log.warning("%d jobs still run after %g s of grace: %s them", left, self._config.grace, who)
        threads.end_children()
        self._control.send("leaving")
        return REPLACE_ME if self._is_stuck() else 0

    def _running(self) -> int:
        """Return the number of jobs that have not ended or are not acknowledged, without those that do not stop.

        A broadcast counts as one.
        """
        broadcasts = self._threads.broadcasts
        return len(self._threads.unfinished() - self._stuck) + (broadcasts.busy and not broadcasts.stuck)
