"""In a worker process: takes requests to cancel jobs from the supervisor, and carries them out.

A request may come more than once, and for what has ended, or not arrived yet: then it changes nothing, and comes again
as long as the job runs. What comes of it is an outcome like others.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pgjobs.jobs.outcome import CANCELLED_ON_REQUEST
from pgjobs.worker.executors.event_loop import LoopRunner
from pgjobs.worker.executors.threads import ThreadConsumers
from pgjobs.worker.local.local_queue import Lane, Outbox
from pgjobs.worker.runtime.critical_thread import VitalThread

LONGEST = 1 << 17  # bytes of a message


class Cancellations(VitalThread):
    """One thread for all queues of a worker process. `requests`: where `Member.cancel` writes."""

    def __init__(
        self, requests: socket.socket, lanes: Mapping[Lane, ThreadConsumers], loop: LoopRunner, outbox: Outbox
    ) -> None:
        super().__init__(name="pgjobs-cancellations", daemon=True)
        self._requests = requests
        self._lanes = lanes
        self._loop = loop
        self._outbox = outbox

    def work(self) -> None:
        """Wait for requests, until the supervisor is gone."""
        while message := self._receive():
            self._cancel([(job, claim, force) for job, claim, force in json.loads(message)])

    def _receive(self) -> bytes:
        try:
            return self._requests.recv(LONGEST)
        except OSError:
            return b""

    def _cancel(self, requests: Sequence[tuple[int, int, bool]]) -> None:
        asked = {(job, claim): force for job, claim, force in requests}
        for lane in self._lanes:
            for job in list(lane.inbox.jobs):
                if (job.id, job.claim) in asked:
                    with suppress(ValueError, IndexError):  # it starts at this moment
                        lane.inbox.jobs.remove(job)
                        self._outbox.put((job, CANCELLED_ON_REQUEST, None))
                        del asked[job.id, job.claim]
        for (number, claim), force in asked.copy().items():
            if any(consumers.cancel(number, claim, force=force) for consumers in self._lanes.values()):
                del asked[number, claim]
        if asked:
            self._loop.cancel(asked.keys())
