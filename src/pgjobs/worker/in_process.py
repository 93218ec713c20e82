"""A worker in a process of the application: `with Worker(queues={"mail": 10}):`.

The producers, executors and acknowledger of a worker process, and the threads of its supervisor, all of them here. What
needs a process of its own is missing: nothing kills a job that does not stop, and a job that holds the interpreter
stops the heartbeats, too.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING

from pgjobs.core.config import DEFAULT_RESCUE_AFTER, configure, settings
from pgjobs.core.errors import UsageError
from pgjobs.db.connection import connect
from pgjobs.db.installation import connection_name
from pgjobs.db.limits import LimitWriter
from pgjobs.db.public_connect import database_url as configured_url
from pgjobs.db.revision import check_schema
from pgjobs.db.row_security import CHANGE
from pgjobs.db.statements import load_statements
from pgjobs.effects import serve_reports
from pgjobs.worker.acknowledge.outcome_log import labels
from pgjobs.worker.config import DEFAULT_HEARTBEAT, WorkerConfig, parse_queues
from pgjobs.worker.process_threads import ProcessThreads
from pgjobs.worker.runtime.registration import register
from pgjobs.worker.runtime.scoreboard import Scoreboard
from pgjobs.worker.supervisor.cancel_listener import CancelListener
from pgjobs.worker.supervisor.heartbeat import HeartbeatThread
from pgjobs.worker.supervisor.maintenance import SHUTDOWN_PATIENCE, MaintenanceThread
from pgjobs.worker.supervisor.requests import Requests
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker
from pgjobs.worker.supervisor.scheduler import Scheduler
from pgjobs.workflows.serve import serve_steps

if TYPE_CHECKING:
    from types import TracebackType

    from pgjobs.worker.local.claimed_job import ClaimedJob

log = logging.getLogger("pgjobs.worker")
GRACE = 10.0  # seconds
CLEAN_UP = 2.0  # seconds that coroutines have after they were cancelled
TICK = 0.02  # seconds: how often the end looks whether jobs still run


class Worker:
    """Runs jobs in threads of this process, from `start` to `stop`, or in a `with` or `async with` block.

    It is for small deployments, notebooks and tests. `pgjobs work` has what it lacks: processes of their own. Here
    a job that does not react to its timeout runs on, one that crashes takes the application with it, and one that holds
    the interpreter for `rescue_after` seconds is considered dead and runs elsewhere, too. Jobs with
    `executor="process"` run in child processes, and are killed.

    Args:
        queues: how many jobs of each queue may run at once; or names as for `-q`, such as "mail:20", "*".
        database_url: None: the configured database, as for `pgjobs.connect`. Another one becomes the configured one.
        imports: modules whose schedules, subscriptions and pipelines this worker declares, as `--import`.
        grace: seconds that running jobs have at the end. Those that still run then are handed back, and run again.
        rescue_after: seconds without a heartbeat after which others take its jobs back.

    Raises:
        UsageError: a value cannot be used.

    """

    def __init__(
        self,
        queues: Mapping[str, int] | Iterable[str] = ("default",),
        *,
        database_url: str | None = None,
        imports: Sequence[str] = (),
        grace: float = GRACE,
        rescue_after: float = DEFAULT_RESCUE_AFTER,
    ) -> None:
        if database_url is not None:
            configure(database_url=database_url)
        elif settings().database_url is None:
            configure(database_url=configured_url())  # of the embedded server: jobs connect to it, too
        texts = [f"{name}:{slots}" for name, slots in queues.items()] if isinstance(queues, Mapping) else list(queues)
        found, patterns = parse_queues([queues] if isinstance(queues, str) else texts)
        current = settings()
        assert current.database_url is not None  # noqa: S101 (it was just configured)
        self._config = WorkerConfig(
            current.database_url,
            queues=found,
            patterns=patterns,
            imports=tuple(imports),
            grace=grace,
            heartbeat=min(DEFAULT_HEARTBEAT, rescue_after / 4),
            rescue_after=rescue_after,
            schema=current.schema,
        )
        self._threads: ProcessThreads | None = None
        self._ended = threading.Event()
        self._lost = False
        self._stuck: set[ClaimedJob] = set()

    # -- From start to stop --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Register, and begin to claim.

        Raises:
            ConfigurationError: the database cannot be reached.
            SchemaError: it has no tables of pgjobs, or those of another version.
            UsageError: it was started before.

        """
        if self._threads is not None:
            raise UsageError("this Worker was started before: make a new one.")
        config = self._config
        serve_reports()
        serve_steps()
        load_statements()
        for module in config.modules():
            import_module(module)
        limits = LimitWriter()
        with connect(config.database_url, application_name=connection_name("register")) as connection:
            check_schema(connection, kinds=CHANGE)
            limits.write(connection)
            worker_id = register(connection, config.queues, rescue_after=config.rescue_after, pooled=connection.pooled)
        self._worker_id = worker_id
        self._scoreboard = Scoreboard(config.slots())
        here, self._theirs = socket.socketpair(type=socket.SOCK_DGRAM)
        requests = Requests(here)
        self._here = here
        self._threads = threads = ProcessThreads(config, worker_id, self._theirs, self._scoreboard, self._on_stuck)
        self._heartbeat = HeartbeatThread(
            config.database_url,
            config.heartbeat,
            config.rescue_after,
            lambda: [] if self._lost else [worker_id],
            self._on_gone,
            lambda _: threads.broadcasts.wake(),
        )
        self._scheduler = Scheduler(config.database_url, config.role(settings().app))
        self._maintenance = MaintenanceThread(
            config.database_url, config.heartbeat, config.rescue_after, self._heartbeat, self._scheduler
        )
        self._cancel_listener = CancelListener(config.database_url, lambda: {worker_id: requests})
        threads.start()
        for thread in (self._heartbeat, self._maintenance, self._scheduler, self._cancel_listener):
            thread.start()
        if config.imports:
            self._declare()
        self._finder = threading.Thread(target=self._find_queues, name="pgjobs-found", daemon=True)
        if config.patterns:
            self._finder.start()
        log.info("worker %d in this process, for %s", worker_id, ", ".join(config.shown_queues()))

    def stop(self) -> None:
        """Claim no more, let running jobs end within the grace, hand back the others, and end all threads."""
        threads = self._threads
        if threads is None or self._ended.is_set():
            return
        self._ended.set()
        self._scheduler.stop()
        threads.stop_claiming()
        threads.hurry.set()
        self._wait(threads, self._config.grace, lambda: bool(threads.unfinished()))
        if threads.has_coroutines:
            threads.end_coroutines()
            self._wait(threads, CLEAN_UP, lambda: threads.has_coroutines)
        threads.flush()
        left = threads.unfinished()
        threads.end_children()
        self._maintenance.stop()
        self._maintenance.join(SHUTDOWN_PATIENCE)
        self._heartbeat.stop()
        self._cancel_listener.stop()
        for thread in (self._heartbeat, self._cancel_listener, self._scheduler):
            thread.join(5)
        if left:
            log.warning("%d jobs still run after the grace: they are handed back, and run again", len(left))
        self._settle()
        with suppress(OSError):
            self._theirs.shutdown(socket.SHUT_RDWR)  # its reader ends
        for end in (self._here, self._theirs):
            end.close()

    def _wait(self, threads: ProcessThreads, seconds: float, busy: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while busy() and time.monotonic() < deadline and threads.unfinished() - self._stuck:
            time.sleep(TICK)

    def _settle(self) -> None:
        """Remove its row, and have what it has left run elsewhere."""
        gone = WorkerExit(self._worker_id, started=frozenset(self._scoreboard.started()))
        try:
            with connect(self._config.database_url, application_name=connection_name("end"), answer_within=10.0) as end:
                settle_dead_worker(end, gone)
        except Exception as error:
            log.warning("the end of this worker is not written; others notice it by its silence: %s", error)

    # -- What comes while it works -------------------------------------------------------------------------------------

    def _on_gone(self, worker_id: int) -> None:
        """Stop claiming: others have considered this worker dead, and have its jobs."""
        if not self._lost:
            self._lost = True
            log.error("this worker was considered dead, and its jobs run elsewhere: it claims no more. Start a new one")
            if self._threads is not None:
                threading.Thread(target=self._threads.stop_claiming, name="pgjobs-lost", daemon=True).start()

    def _on_stuck(self, job: ClaimedJob) -> None:
        log.error("did not stop after its timeout: only the end of this process ends it", extra=labels(job))
        self._stuck.update(job.members)

    def _find_queues(self) -> None:
        while not self._ended.wait(0.25):
            if self._threads is not None:
                self._threads.add_found_queues()

    def _declare(self) -> None:
        from pgjobs.events.subscribe import declared_subscriptions, declared_topics
        from pgjobs.jobs.pipeline import declared_pipelines
        from pgjobs.pipelines.stored import StoredPipeline
        from pgjobs.schedules.schedule import declared_schedules

        self._scheduler.take_declared(
            {
                "schedules": [schedule.to_message() for schedule in declared_schedules()],
                "subscriptions": [each.to_message() for each in declared_subscriptions()],
                "topics": [asdict(each) for each in declared_topics()],
                "pipelines": [StoredPipeline.of(each).to_message() for each in declared_pipelines()],
            }
        )

    # -- Blocks --------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Worker:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)
