"""The channel between a supervisor and a worker process: one JSON object a line, over a socket pair.

| from → to | `type` | with |
| --- | --- | --- |
| supervisor → worker | config | `config`: the first line |
| supervisor → worker | drain | |
| worker → supervisor | registered | `worker_id`: before the first claim |
| worker → supervisor | schedules | `schedules`: what its imports declare; before it is registered |
| worker → supervisor | unfit | `error`: it cannot work; before it is registered, or after a long try to drain |
| worker → supervisor | progress | `ended`: jobs since the start |
| worker → supervisor | stuck | `job_id`, `claim_number`, `error`: a job that does not stop |
| worker → supervisor | claims | `trouble`: why it can neither claim nor acknowledge now; null: it can |
| worker → supervisor | leaving | it ends in order; a process that ends without this message has died |
| worker → supervisor | retiring | it claims no more, and asks to be replaced |
"""

from __future__ import annotations

import json
import socket
from typing import Any

Message = dict[str, Any]
BROADCASTS = b"broadcasts"
"""What a supervisor writes into the other channel, that of requests to cancel jobs: there is a broadcast to run."""


class ControlChannel:
    """One end of the channel."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.ended = False
        self._rest = b""

    def fileno(self) -> int:
        """Return the file descriptor, for a selector."""
        return self.channel.fileno()

    def send(self, type: str, **values: Any) -> None:
        """Send a message. If the other end is gone, set `ended`."""
        try:
            self.channel.sendall(json.dumps({"type": type, **values}).encode() + b"\n")
        except OSError:
            self.ended = True

    def receive(self, seconds: float | None) -> list[Message]:
        """Return the messages that have arrived, after up to `seconds` for the first (None: no limit)."""
        self.channel.settimeout(seconds)
        try:
            data = self.channel.recv(65536)
        except (TimeoutError, BlockingIOError):
            return []
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close this end."""
        self.ended = True
        self.channel.close()
