"""A small HTTP server for metrics and probes: it answers GET and HEAD of a few paths, and nothing else."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from pgjobs.core.errors import ConfigurationError
from pgjobs.core.version import VERSION

log = logging.getLogger("pgjobs.http")
PATIENCE = 10.0  # seconds that a client may take to send its request, or to take the answer
MAX_REQUESTS = 16  # that are answered at a time
BUSY = b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n"
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 (probes and scrapes come from other hosts)


class Answer(NamedTuple):
    """An answer: the status of HTTP, the type of its content, and that."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[str], Answer]
"""What answers the requests of one path; it is given what the client accepts."""


class _Handler(BaseHTTPRequestHandler):
    server_version = f"pgjobs/{VERSION}"
    sys_version = ""
    timeout = PATIENCE
    routes: Mapping[str, Route]

    def do_GET(self) -> None:
        """Answer."""
        route = self.routes.get(self.path.partition("?")[0])
        if route is None:
            there = ", ".join(self.routes)
            self._send(Answer(404, "text/plain; charset=utf-8", f"There is only {there}.\n".encode()))
            return
        try:
            answer = route(self.headers.get("Accept") or "")
        except Exception as error:
            log.exception("%s could not be answered", self.path)
            answer = Answer(500, "text/plain; charset=utf-8", f"{type(error).__name__}: see the log\n".encode())
        self._send(answer)

    do_HEAD = do_GET  # noqa: N815 (the base class names it)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log requests for those who debug."""
        log.debug(format, *args)


class _Server(ThreadingHTTPServer):
    """A thread for each request, up to a number: many that are slow must not take threads or memory of a worker."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self._room = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or refuse at once."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.setblocking(False)
            request.send(BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer; called in the thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave early are nothing to worry about."""
        log.debug("a request of %s was broken off", client_address)


class HttpServer:
    """Serves `routes` in threads of its own, from `start` to `stop`. Port 0: a free one, see `port`."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        handler = type("Handler", (_Handler,), {"routes": routes})
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            server = type("Server", (_Server,), {"address_family": family})
            self._server: ThreadingHTTPServer = server(address[:2], handler)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}, port {port}: {error.strerror or error}.") from error
        self.paths = tuple(routes)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._serve, name="pgjobs-http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def serve(self) -> None:
        """Answer in this thread, until an exception such as Ctrl-C ends it."""
        with self._server:
            self._serve()

    def stop(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.2)
