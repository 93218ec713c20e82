"""The network between worker and server, as a proxy that can be told to fail."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

Mode = Literal["pass", "swallow", "refuse"]
COMMIT_DONE = b"C\x00\x00\x00\x0bCOMMIT\x00"  # CommandComplete
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class Proxy:
    """Forwards TCP connections to 127.0.0.1:`target`.

    `mode`: pass everything on; swallow it, so that both ends wait on an open connection; or refuse new connections.
    `delay`: seconds before each piece is passed on. `rate`: bytes per second at which answers come over, on connections
    made from then on (None: as they come); little of them is underway at a time, as on a real link. `cut_in`: cut
    a connection in the middle of the next answer that has these bytes in it. `rewrite`: what each piece of an answer
    becomes (None: it stays as it is).
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.mode: Mode = "pass"
        self.delay = 0.0
        self.rate: float | None = None
        self.cut_in: bytes | None = None
        self.cuts = 0
        self.rewrite: Callable[[bytes], bytes] | None = None
        self._deaf: set[socket.socket] = set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._closed = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def cut(self) -> int:
        """Cut all connections, and say how many they were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            self._end(*pair)
        return len(pairs)

    def swallow_open(self) -> int:
        """From now on, swallow what comes on the connections that are open, and pass on that of new ones."""
        with self._lock:
            self._deaf = {end for pair in self._pairs for end in pair}
            return len(self._pairs)

    def connections(self) -> int:
        """Count the open connections."""
        with self._lock:
            return len(self._pairs)

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.mode == "refuse":
                self._end(client)
                continue
            try:
                server = self._connect()
            except OSError:
                self._end(client)
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((client, server))
            for source, sink, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, answers), daemon=True).start()

    def _connect(self) -> socket.socket:
        server = socket.socket()
        if self.rate is not None:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
        server.settimeout(5)
        server.connect(("127.0.0.1", self.target))
        server.settimeout(None)
        return server

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if answers and self.rate is not None:
                    time.sleep(len(data) / self.rate)
                if self.delay:
                    time.sleep(self.delay)
                if self.mode == "swallow" or source in self._deaf:
                    continue
                if answers and self.cut_in is not None and self.cut_in in data:
                    middle = data.index(self.cut_in) + len(self.cut_in) // 2
                    self.cut_in = None
                    self.cuts += 1
                    sink.sendall(data[:middle])
                    break
                sink.sendall(self.rewrite(data) if answers and self.rewrite is not None else data)
        except OSError:
            pass
        with self._lock:
            self._pairs = [pair for pair in self._pairs if source not in pair]
        self._end(source, sink)

    @staticmethod
    def _end(*ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RDWR)
            end.close()
