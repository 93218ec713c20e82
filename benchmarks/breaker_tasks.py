"""The jobs of `benchmarks.breaker`: they call the fake dependency, with a breaker and without."""

from __future__ import annotations

import os
import socket

from pgjobs import Breaker, job

BREAKER = Breaker("dependency", failures=0.5, window=10, min_calls=20, cooldown=5, probes=3, on=ConnectionError)


def ask() -> None:
    """Call the dependency, and fail if it does."""
    port = int(os.environ["BENCH_DEPENDENCY"])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        if line.recv(2) != b"ok":
            raise ConnectionError("the dependency is down")


@job(breaker=BREAKER)
def with_breaker(number: int) -> None:
    ask()


@job
def without_breaker(number: int) -> None:
    ask()
