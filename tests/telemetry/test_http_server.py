"""The small HTTP server: how many requests it answers at a time."""

from __future__ import annotations

import socket
import threading
from http.client import HTTPConnection

import pytest

from pgjobs.telemetry import http_server
from pgjobs.telemetry.http_server import Answer, HttpServer
from tests.support.processes import wait_until


def test_requests_beyond_a_number_are_refused_at_once_and_slow_ones_take_no_more_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "MAX_REQUESTS", 2)
    server = HttpServer("127.0.0.1", 0, {"/live": lambda accept: Answer(200, "text/plain", b"yes")})
    server.start()
    before = threading.active_count()

    def status() -> int:
        asking = HTTPConnection("127.0.0.1", server.port, timeout=5)
        try:
            asking.request("GET", "/live")
            return asking.getresponse().status
        finally:
            asking.close()

    try:
        assert status() == 200
        wait_until(lambda: threading.active_count() == before)
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]  # which send nothing
        wait_until(lambda: threading.active_count() == before + 2)
        assert [status() for _ in range(3)] == [503, 503, 503]
        assert threading.active_count() == before + 2
        for each in silent:
            each.close()
        wait_until(lambda: status() == 200)
    finally:
        server.stop()
