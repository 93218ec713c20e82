"""What a supervisor passes on to the jobs of a worker, from any thread: requests to cancel, and word of broadcasts."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import suppress

from pgjobs.worker.runtime.control_channel import BROADCASTS

MOST = 500  # requests in one message


class Requests:
    """The end of a socket whose other end `worker/cancellations.py` reads."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def cancel(self, requests: Sequence[tuple[int, int, bool]]) -> None:
        """Pass on which of its jobs to cancel: job id, claim number, and whether by force.

        A request that does not get through comes again with the next look.
        """
        for start in range(0, len(requests), MOST):
            message = json.dumps(requests[start : start + MOST]).encode()
            try:
                self._end.send(message, socket.MSG_DONTWAIT)
            except OSError:  # it is gone, or has not read the last ones
                return

    def look_for_broadcasts(self) -> None:
        """Have it look for broadcasts. What does not get through comes again with a heartbeat."""
        with suppress(OSError):
            self._end.send(BROADCASTS, socket.MSG_DONTWAIT)
