"""An acknowledger in this process, for jobs that seem to have ended here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from pgjobs.db.connection import connect_hot
from pgjobs.jobs.outcome import Outcome
from pgjobs.worker.acknowledge.acknowledger import Acknowledger
from pgjobs.worker.acknowledge.breaker_recorder import BreakerRecorder
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection
from tests.support.claimed import claimed_job


class Acknowledging:
    """A running acknowledger. `local_queue`: that of the jobs."""

    def __init__(self, outbox: Outbox, local_queue: LocalQueue) -> None:
        self._outbox = outbox
        self.local_queue = local_queue

    def put(self, outcomes: dict[int, Outcome], **fields: Any) -> None:
        """Have it write outcomes, by id. `fields`: of the jobs, as the worker holds them."""
        for job, outcome in outcomes.items():
            ended = claimed_job(job, 1, local_queue=self.local_queue, **fields)
            self._outbox.put((ended, outcome, 0.0))


@contextmanager
def acknowledging(url: str, worker: int) -> Iterator[Acknowledging]:
    """Run the acknowledger of a worker. It flushes in the end; what cannot be written is given up after a second."""
    local_queue = LocalQueue("default", 9, 0)
    hurry = threading.Event()
    outbox: Outbox = SimpleQueue()

    def link(stop: threading.Event) -> ReconnectingConnection:
        return ReconnectingConnection("test", lambda: connect_hot(url, application_name="test"), stop)

    breakers = BreakerRecorder(link, "worker", [local_queue], outbox)
    thread = Acknowledger(outbox, link(hurry), worker, "host", 1.0, ["default"], breakers)
    thread.start()
    try:
        yield Acknowledging(outbox, local_queue)
    finally:
        hurry.set()
        thread.stop()
        thread.join()
        thread.hooks.stop()
        breakers.stop()
        local_queue.close()
