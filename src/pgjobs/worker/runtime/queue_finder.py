"""Finds the queues that the patterns of a worker match (`-q '*'`, `-q 'mail-*'`), also those that come later."""

from __future__ import annotations

import json
import logging
import threading
import time
from queue import Empty, SimpleQueue

from pgjobs.db.statements import statement
from pgjobs.worker.config import MAX_FOUND_QUEUES, QueueSlots, WorkerConfig
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stopped

log = logging.getLogger("pgjobs.worker")
EVERY = 1.0  # seconds between two looks


class QueueFinder(threading.Thread):
    """Looks for queues once a second, over a connection of its own, and writes those it finds into the worker's row."""

    def __init__(
        self, config: WorkerConfig, server: ReconnectingConnection, worker_id: int, stop: threading.Event
    ) -> None:
        super().__init__(name="pgjobs-queues", daemon=True)
        self._config = config
        self._server = server
        self._worker_id = worker_id
        self._stopping = stop
        self._known = {queue.name for queue in config.queues}
        self._room = {"queues": MAX_FOUND_QUEUES, "slots": config.found_slots()}
        self._found: SimpleQueue[QueueSlots] = SimpleQueue()
        self._wake = threading.Event()
        self._looked_at = 0.0  # monotonic seconds at which the last look began that found nothing new

    def run(self) -> None:
        """Look until the worker claims no more."""
        try:
            while not self._stopping.is_set():
                self.look()
                self._wake.wait(EVERY)
                self._wake.clear()
        except Stopped:
            pass
        finally:
            self._server.close()

    def look(self) -> None:
        """Look once."""
        began = time.monotonic()
        names = self._server.run(
            lambda server: [row[0] for row in server.cursor.execute(statement("queue_names")).fetchall()]
        )
        new = [slots for name in names if (slots := self._take(name))]
        if not new:
            self._looked_at = began
            return
        # In characters as they are: not every database reads escaped ones.
        queues = json.dumps({queue.name: queue.concurrency for queue in new}, ensure_ascii=False)
        self._server.run(
            lambda server: server.cursor.execute(
                statement("add_worker_queues"), {"queues": queues, "worker_id": self._worker_id}
            )
        )
        for queue in new:
            log.info("queue %s is served too, with %d slots", queue.name, queue.concurrency)
            self._found.put(queue)

    def _take(self, name: str) -> QueueSlots | None:
        if name in self._known:
            return None
        slots = self._config.slots_of(name)
        if slots is None:
            return None
        self._known.add(name)
        if self._room["queues"] < 1 or self._room["slots"] < slots.concurrency:
            log.warning("queue %s is not served: this worker has found as many queues as it can take", name)
            return None
        self._room["queues"] -= 1
        self._room["slots"] -= slots.concurrency
        return slots

    def found(self) -> list[QueueSlots]:
        """Return the queues that were found since the last call."""
        found: list[QueueSlots] = []
        try:
            while True:
                found.append(self._found.get_nowait())
        except Empty:
            return found

    def nothing_new_since(self, moment: float) -> bool:
        """Return True if a look that began after the moment found nothing; else have the thread look at once."""
        if self._looked_at > moment and self._found.empty():
            return True
        self._wake.set()
        return False
