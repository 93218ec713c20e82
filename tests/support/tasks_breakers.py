"""Jobs that depend on something: what it does is in a file that a test writes. Each call leaves a row in `seen`."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psycopg

from pgjobs import Breaker, current_job, job
from tests.support.tasks import URL

MODE = "TASKS_DEPENDENCY"  # the name of the file: well, down or hang; wrong: the job itself is
_here = threading.local()  # a connection for each thread: making one costs more than all the rest of a call
SHARED = Breaker("shared", failures=0.5, window=10, min_calls=10, cooldown=1.5, probes=2, on=ConnectionError)
APART = Breaker("apart", failures=0.5, window=10, min_calls=3, cooldown=60, on=ConnectionError)
SLOW = Breaker("slow", failures=0.5, window=10, min_calls=2, cooldown=60, on=ConnectionError)


def mode() -> str:
    """Read what the dependency does now."""
    return Path(os.environ[MODE]).read_text("utf-8")


def ask() -> None:
    """Call the dependency."""
    job = current_job()
    if not hasattr(_here, "conn"):
        _here.conn = psycopg.connect(os.environ[URL], autocommit=True)
    _here.conn.execute("INSERT INTO seen (job, attempt, pid) VALUES (%s, %s, %s)", [job.id, job.attempt, os.getpid()])
    while (now := mode()) == "hang":
        time.sleep(0.02)
    if now == "down":
        raise ConnectionError("it is down")
    if now == "wrong":
        raise ValueError("the job is wrong")


@job(breaker=SHARED, backoff=0.2, max_attempts=10)
def call(number: int) -> None:
    """Call it, in a thread."""
    ask()


@job(breaker=APART, backoff=30, executor="process")
def call_apart(number: int) -> None:
    """Call it, in a child process."""
    ask()


@job(breaker=SLOW, backoff=30, timeout=0.2)
def call_in_time(number: int) -> None:
    """Call it, and wait no longer than that."""
    ask()
