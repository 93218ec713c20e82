"""The jobs of the stress. Each writes down when a run began and ended, by a connection of its own."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import NamedTuple

import psycopg

from pgjobs import Breaker, Cancel, Retry, Snooze, current_job, job
from tests.system.chaos.tasks import claimed

URL = "STRESS_URL"
PATIENCE = 60.0  # seconds that a job waits for the server, to write a line
_here = threading.local()
BREAKERS = {
    name: Breaker(name, failures=0.5, window=5, min_calls=5, cooldown=1.0, probes=2, on=ConnectionError)
    for name in ("breaker-0", "breaker-1")
}
START = """
    WITH line AS (
        INSERT INTO stress.runs (job, claim, pid, kind, holds)
        SELECT %(job)s, %(claim)s, %(pid)s, 'start',
               EXISTS (SELECT FROM pgjobs.jobs_live AS j
                       WHERE j.id = %(job)s AND j.claims = %(claim)s AND j.status = 'running')
        ON CONFLICT DO NOTHING
    )
    SELECT calm, down FROM stress.mode
"""
END = """
    WITH line AS (
        INSERT INTO stress.runs (job, claim, pid, kind, word)
        VALUES (%(job)s, %(claim)s, %(pid)s, 'end', %(word)s)
        ON CONFLICT DO NOTHING
    )
    SELECT calm, down FROM stress.mode
"""


class Mode(NamedTuple):
    """`calm`: nothing fails now; `down`: what the breakers are for is."""

    calm: bool
    down: bool


def write(statement: str, word: str = "") -> Mode:
    """Write a line, however long the server is away."""
    row = claimed()
    values = {"job": row.id, "claim": row.claim_number, "pid": os.getpid(), "word": word}
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            conn: psycopg.Connection | None = getattr(_here, "conn", None)
            if conn is None or conn.closed or _here.pid != os.getpid():
                conn = psycopg.connect(os.environ[URL], autocommit=True, connect_timeout=5, application_name="stress")
                _here.conn, _here.pid = conn, os.getpid()
            found = conn.execute(statement, values).fetchone()
            assert found is not None
            return Mode(*found)
        except psycopg.Error:
            _here.conn = None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def word_of(fate: str, attempt: int, claim: int, mode: Mode, *, breaker: bool) -> str:
    """Return how a run is to end. Pure."""
    if mode.calm:
        return "ok"
    if breaker and mode.down:
        return "down"
    match fate:
        case "fails once" if attempt == 1:
            return "fail"
        case "fails":
            return "fail"
        case "snoozes" if claim < 3:
            return "snooze"
        case "retries" if attempt == 1:
            return "retry"
        case "cancels":
            return "cancel"
        case "exits" if attempt == 1:
            return "exit"
    return "ok"


def end(word: str) -> None:
    """End a run in this way.

    Raises:
        BaseException: as it should.

    """
    match word:
        case "fail":
            raise ValueError("as planned")
        case "down":
            raise ConnectionError("it is down")
        case "snooze":
            raise Snooze(0.2)
        case "retry":
            raise Retry(0.2)
        case "cancel":
            raise Cancel("as planned")
        case "exit":
            os._exit(1)


class _Run:
    """One run: `with _Run(fate) as run` writes down its beginning and its end."""

    def __init__(self, fate: str) -> None:
        self._fate = fate
        self.word = "raised"

    def __enter__(self) -> _Run:
        row = claimed()
        mode = write(START)
        self._planned = word_of(self._fate, row.attempt, row.claim_number, mode, breaker=row.breaker is not None)
        return self

    def finish(self) -> None:
        """End it as planned."""
        if self._planned == "exit":
            end("exit")
        self.word = self._planned
        end(self._planned)

    def __exit__(self, *_: object) -> None:
        write(END, self.word)


@job(backoff=0.2, max_attempts=2)
def in_thread(tenant: str, seconds: float, fate: str) -> None:
    with _Run(fate) as run:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not current_job().cancelled:
            time.sleep(min(0.05, seconds))
        run.finish()


@job(backoff=0.2, max_attempts=2)
async def on_loop(tenant: str, seconds: float, fate: str) -> None:
    with _Run(fate) as run:
        await asyncio.sleep(seconds)
        run.finish()


@job(queue="heavy", executor="process", backoff=0.2, max_attempts=2)
def in_child(tenant: str, seconds: float, fate: str) -> None:
    with _Run(fate) as run:
        time.sleep(seconds)
        run.finish()


@job(queue="forgets")
def tick(name: str) -> None:
    """Run by schedules."""
    with _Run("ok") as run:
        run.finish()


@job(queue="forgets")
def tick_alone(name: str) -> None:
    """Run by a schedule that skips a firing while the last one has not ended."""
    with _Run("ok") as run:
        time.sleep(1.3)
        run.finish()


@job(breaker=BREAKERS["breaker-0"])
def first() -> None:
    """Declare a breaker."""


@job(breaker=BREAKERS["breaker-1"])
def second() -> None:
    """Declare the other one."""


TASKS = {"in_thread": in_thread, "on_loop": on_loop, "in_child": in_child}
