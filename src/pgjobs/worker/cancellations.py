"""Carries out requests to cancel jobs, in a worker process. The supervisor sends them, and word of broadcasts.

A request may come more than once, and for a job that has ended or not arrived yet: then it changes nothing, and comes
again as long as the job runs. The job ends with an outcome like any other.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

from pgjobs.jobs.outcome import CANCELLED_ON_REQUEST
from pgjobs.worker.executors.event_loop import EventLoopExecutor
from pgjobs.worker.executors.threads import ThreadExecutor
from pgjobs.worker.local.local_queue import LocalQueue, Outbox
from pgjobs.worker.runtime.control_channel import BROADCASTS
from pgjobs.worker.runtime.critical_thread import CriticalThread
from pgjobs.worker.runtime.job_claim import Claim

MAX_MESSAGE_BYTES = 1 << 17  # bytes of a message


class Cancellations(CriticalThread):
    """One thread for all queues of a worker process. `requests`: where `WorkerHandle.cancel` writes.

    `broadcast` is called when there is a broadcast to run.
    """

    def __init__(
        self,
        requests: socket.socket,
        local_queues: Mapping[LocalQueue, ThreadExecutor],
        loop: EventLoopExecutor,
        outbox: Outbox,
        broadcast: Callable[[], None],
    ) -> None:
        super().__init__(name="pgjobs-cancellations", daemon=True)
        self._broadcast = broadcast
        self._requests = requests
        self._local_queues = local_queues
        self._loop = loop
        self._outbox = outbox

    def work(self) -> None:
        """Wait for requests until the supervisor is gone."""
        while message := self._receive():
            if message == BROADCASTS:
                self._broadcast()
                continue
            self._cancel({Claim(job_id, number): force for job_id, number, force in json.loads(message)})

    def _receive(self) -> bytes:
        try:
            return self._requests.recv(MAX_MESSAGE_BYTES)
        except OSError:
            return b""

    def _cancel(self, asked: dict[Claim, bool]) -> None:
        for local_queue in list(self._local_queues):  # a pattern may match one more meanwhile
            for job in list(local_queue.inbox.jobs):
                claim = job.key()
                if claim in asked:
                    with suppress(ValueError, IndexError):  # it starts at this moment
                        local_queue.inbox.jobs.remove(job)
                        self._outbox.put((job, CANCELLED_ON_REQUEST, None))
                        del asked[claim]
        for claim, force in asked.copy().items():
            if any(executors.cancel(claim, force=force) for executors in list(self._local_queues.values())):
                del asked[claim]
        if asked:
            self._loop.cancel(asked.keys())
