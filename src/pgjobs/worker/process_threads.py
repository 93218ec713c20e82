"""The threads of a worker process that claim, run and acknowledge jobs, and the one of broadcasts: kept together."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from pgjobs.db.connection import connect_hot
from pgjobs.db.statements import statement
from pgjobs.flow.breaker import declared_breakers
from pgjobs.worker.acknowledge.acknowledger import Acknowledger
from pgjobs.worker.acknowledge.breaker_recorder import BreakerRecorder
from pgjobs.worker.broadcasts import Broadcasts
from pgjobs.worker.cancellations import Cancellations
from pgjobs.worker.claim.producer import Producer
from pgjobs.worker.config import QueueSlots, WorkerConfig
from pgjobs.worker.executors.child_process import ChildProcess
from pgjobs.worker.executors.event_loop import EventLoopExecutor
from pgjobs.worker.executors.shortages import Shortages
from pgjobs.worker.executors.threads import ThreadExecutor
from pgjobs.worker.executors.timeouts import Watchdog
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.counts import Counts
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.local.producer_signals import Rescan
from pgjobs.worker.runtime.orderly_exit import LEAVE_WITHIN
from pgjobs.worker.runtime.queue_finder import QueueFinder
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stop
from pgjobs.worker.runtime.registration import application_name, claim_role
from pgjobs.worker.runtime.scoreboard import Scoreboard

CLOCKS_DIFFER = 0.1  # seconds
SHORTAGE_LASTS = 20.0  # seconds: by then it is more than a bad moment


def server_for(
    config: WorkerConfig, worker_id: int, role: str, stop: Stop, *, async_commit: bool = False
) -> ReconnectingConnection:
    """Return a connection that is made when it is used, and named after the worker and its role."""
    name = application_name(worker_id, role)
    return ReconnectingConnection(
        name,
        lambda: connect_hot(config.database_url, application_name=name, async_commit=async_commit),
        stop,
        async_commit=async_commit,
    )


class ProcessThreads:
    """For each queue a producer and executor threads; for all of them one event loop and one acknowledger.

    `requests`: where requests to cancel jobs arrive. `stuck(job)` is called by another thread for a job that ran on
    after its timeout.
    """

    def __init__(
        self,
        config: WorkerConfig,
        worker_id: int,
        requests: socket.socket,
        scoreboard: Scoreboard,
        stuck: Callable[[ClaimedJob], None],
    ) -> None:
        self._config, self._worker_id = config, worker_id
        self._grace = config.grace
        self._stop_claiming = threading.Event()
        self.failed_over = threading.Event()
        self.hurry = threading.Event()  # acknowledge within the grace; a worker that only retires has no deadline
        outbox: Outbox = SimpleQueue()
        self._outbox, self._scoreboard = outbox, scoreboard
        self._local_queues: list[LocalQueue] = []
        self._queue_names: list[str] = []
        self._by_queue: dict[LocalQueue, ThreadExecutor] = {}
        self._next_slot = 0
        self._look_from = 0.0  # monotonic seconds: what was seen before tells nothing about what is due
        self._producers: list[Producer] = []
        self._executors: list[ThreadExecutor] = []
        host = socket.gethostname()
        self._breakers = BreakerRecorder(
            lambda stop: server_for(config, worker_id, "breakers", stop, async_commit=True),
            f"worker {worker_id} ({host}, {os.getpid()})",
            self._local_queues,
            outbox,
        )
        self._acknowledger = Acknowledger(
            outbox,
            server_for(config, worker_id, "acknowledge", self.hurry),
            worker_id,
            host,
            config.grace,
            self._queue_names,
            self._breakers,
        )
        self._counts = Counts(every_job=config.metrics_port is not None)
        self._acknowledger.counts = self._counts
        self._watchdog = Watchdog(stuck)
        self._loop = EventLoopExecutor(outbox, self._watchdog, scoreboard)
        self._shortages = Shortages()
        self._child_config = config.for_child()
        for queue in config.queues:
            self._add(queue)
        self.broadcasts = Broadcasts(lambda stop: server_for(config, worker_id, "broadcasts", stop), worker_id)
        self._cancellations = Cancellations(requests, self._by_queue, self._loop, outbox, self.broadcasts.wake)
        self._finder = (
            QueueFinder(
                config, server_for(config, worker_id, "queues", self._stop_claiming), worker_id, self._stop_claiming
            )
            if config.patterns
            else None
        )

    def _add(self, queue: QueueSlots) -> tuple[ThreadExecutor, Producer]:
        """Make what a queue needs: its local queue, a producer, and the first of its threads."""
        local_queue = LocalQueue(queue.name, queue.concurrency, self._next_slot)
        local_queue.in_haste = self._config.drain
        local_queue.counts = self._counts
        self._next_slot += queue.concurrency
        role = claim_role(queue.name)
        server = server_for(self._config, self._worker_id, role, self._stop_claiming, async_commit=True)
        producer = Producer(local_queue, self._outbox, server, self._worker_id, self._stop_claiming, self.failed_over)
        executor = ThreadExecutor(
            local_queue,
            self._outbox,
            self._loop,
            self._watchdog,
            self._scoreboard,
            lambda: ChildProcess(self._child_config, self._scoreboard),
            self._shortages,
        )
        self._queue_names.append(queue.name)
        self._local_queues.append(local_queue)
        self._producers.append(producer)
        self._executors.append(executor)
        self._by_queue[local_queue] = executor
        return executor, producer

    def start(self) -> None:
        """Start them all."""
        self._acknowledger.start()
        for executor in self._executors:
            executor.start()
        for producer in self._producers:
            producer.start()
        if declared_breakers():
            self._breakers.start()
        self._cancellations.start()
        if self._finder is not None:
            self._finder.start()

    def add_found_queues(self) -> None:
        """Serve the queues that patterns match, and that were found since the last call."""
        if self._finder is not None:
            for queue in self._finder.found():
                executor, producer = self._add(queue)
                executor.start()
                producer.start()

    def publish_counts(self) -> None:
        """Have the supervisor see what was counted."""
        text = json.dumps(self._counts.snapshot(self._local_queues), separators=(",", ":"))
        self._scoreboard.write_counts(text.encode())

    def claim_trouble(self) -> str | None:
        """Return why no queue can be claimed from, or nothing can be acknowledged; None: that works."""
        troubles = [producer.trouble for producer in self._producers]
        return self._acknowledger.trouble or (troubles[0] if troubles and all(troubles) else None)

    def cannot_begin(self) -> str | None:
        """Return why no job can begin, if that has been so for a while."""
        return self._shortages.reason if self._shortages.seconds() > SHORTAGE_LASTS else None

    @property
    def settled(self) -> int:
        """How many attempts have ended, whatever their outcome, and are acknowledged."""
        return self._acknowledger.settled

    @property
    def ended(self) -> int:
        """How many jobs have ended: retries and what is handed back do not count."""
        return self._acknowledger.ended

    def unfinished(self) -> set[ClaimedJob]:
        """Return the claimed jobs that have not ended, or are not acknowledged."""
        return set().union(*(local_queue.unfinished() for local_queue in self._local_queues))

    def nothing_is_due(self) -> bool:
        """Return True if each queue was found empty since a job ended last; else have the others look again at once."""
        if time.monotonic() < self._look_from:
            return False
        last_end = self._last_end()
        since = max(last_end, self._look_from)
        behind = [local_queue for local_queue in self._local_queues if local_queue.claim_stats.empty_since <= since]
        for local_queue in behind:
            local_queue.signals.send(Rescan())  # look now, and not when the doorbell has to be armed again
        nothing_new = self._finder is None or self._finder.nothing_new_since(last_end)
        # The claim that found a queue empty may have taken the last jobs. They run, or have ended meanwhile.
        return nothing_new and not behind and not self.unfinished() and self._last_end() == last_end

    def _last_end(self) -> float:
        return max((local_queue.end_stats.last_end for local_queue in self._local_queues), default=0.0)

    def due_in(self, server: ReconnectingConnection, within: float) -> float | None:
        """Return the seconds until a job is due that was not due at the last look; None: none is `within` that time."""
        looked = min((local_queue.claim_stats.empty_since for local_queue in self._local_queues), default=0.0)
        values = {
            "queues": self._queue_names,
            "looked_ago": time.monotonic() - looked + CLOCKS_DIFFER,
            "within": within,
        }
        row = server.cursor.execute(statement("due_soon"), values).fetchone()
        return None if row is None else row[0]

    def look_again(self, seconds: float) -> None:
        """Have all queues looked at again, `seconds` from now, before anything is known about what is due."""
        self._look_from = time.monotonic() + max(0.0, seconds)

    def blocker(self, job: ClaimedJob) -> ClaimedJob:
        """Return the job to blame when `job` does not stop: another one, if that blocks the event loop."""
        return self._loop.blocker(job)

    def ping_loop(self) -> threading.Event:
        """Return an event that the event loop sets at its next iteration; a job that blocks the loop delays that."""
        return self._loop.ping()

    def stop_claiming(self) -> None:
        """Stop the producers, which hand back what has not started, and have executor threads end after their jobs."""
        self._stop_claiming.set()
        self.broadcasts.stop()
        for local_queue in self._local_queues:
            local_queue.closing = True
            local_queue.signals.wake()
        for producer in self._producers:
            producer.join(max(1.0, self._grace))
        for local_queue in self._local_queues:
            if local_queue.handing_over.acquire(timeout=max(1.0, self._grace)):  # what it claims is in the inbox now
                local_queue.handing_over.release()
        for executor in self._executors:
            executor.stop()

    def end_coroutines(self) -> None:
        """Cancel the coroutines that still run. They are handed back when they have cleaned up."""
        self._loop.end()
        for executor in self._executors:
            executor.end_coroutines()

    @property
    def has_coroutines(self) -> bool:
        """Whether a coroutine still runs."""
        return not self._loop.is_idle or any(executor.has_coroutines for executor in self._executors)

    def flush(self) -> None:
        """Write the outcomes and calls of breakers that are left, within the grace."""
        self.hurry.set()
        self._acknowledger.stop()
        self._acknowledger.join(max(5.0, self._grace))
        self._acknowledger.hooks.stop()
        self._breakers.stop()

    def end_children(self) -> None:
        """End the child processes: in order, or at once those that run a job. What they ran gets no outcome here."""
        children = [child for executor in self._executors for child in executor.children]
        for child in children:
            child.ask_to_leave()
        deadline = time.monotonic() + LEAVE_WITHIN
        while any(child.is_alive() for child in children) and time.monotonic() < deadline:
            time.sleep(0.01)
        for child in children:
            child.abandon()
