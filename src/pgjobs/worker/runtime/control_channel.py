"""The line between a supervisor and a worker process: one JSON object a line, over a socket pair.

| from → to | `say` | with |
| --- | --- | --- |
| supervisor → worker | config | `config`: the first line |
| supervisor → worker | drain | |
| worker → supervisor | registered | `worker_id`: before the first claim |
| worker → supervisor | schedules | `schedules`: what its imports declare; before it is registered |
| worker → supervisor | unfit | `error`: it can not work at all, and a restart would not help |
| worker → supervisor | progress | `settled`: jobs since the start |
| worker → supervisor | stuck | `id`, `claim`, `error`: a job that does not stop |
| worker → supervisor | leaving | it ends in order; who ends without saying so has died |
| worker → supervisor | retiring | it claims no more, and wants to be replaced |
"""

from __future__ import annotations

import json
import socket
from typing import Any

Message = dict[str, Any]


class ControlChannel:
    """One end of the line."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.ended = False
        self._rest = b""

    def fileno(self) -> int:
        """Be something that a selector takes."""
        return self.channel.fileno()

    def send(self, send: str, **values: Any) -> None:
        """Send a message; nobody may be there any more."""
        try:
            self.channel.sendall(json.dumps({"say": send, **values}).encode() + b"\n")
        except OSError:
            self.ended = True

    def receive(self, seconds: float | None) -> list[Message]:
        """Give the messages that are there, waiting for the first so long (None: for ever)."""
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
        """Hang up."""
        self.ended = True
        self.channel.close()
