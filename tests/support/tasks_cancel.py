"""Jobs that are cancelled while they run, and that record in a table what happens to them."""

from __future__ import annotations

import asyncio
import time

import psycopg

from pgjobs import JobCancelled, current_job, job, settings

LONG = 60.0  # seconds; longer than any test


def tell(what: str) -> None:
    """Write it down."""
    with psycopg.connect(settings().database_url or "", autocommit=True) as conn:
        conn.execute("INSERT INTO told (job_id, what) VALUES (%s, %s)", [current_job().id, what])


@job(backoff=0)
async def sleeps() -> None:
    await asyncio.sleep(LONG)


@job
async def swallows() -> None:
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError:
        await asyncio.sleep(1.5)  # it is cancelled once only, however often the request is repeated


@job(backoff=0)
def looks(give_up: bool = True) -> None:
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        if current_job().cancelled:
            if give_up:
                raise RuntimeError("it was to end")
            return
        time.sleep(0.01)


@job
def never_looks() -> None:
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        try:
            time.sleep(0.01)
        except Exception:  # noqa: S110 (what a careless job does)
            pass


@job
def tidies_up() -> None:
    try:
        never_looks()
    except JobCancelled:
        tell("tidied")
        raise


@job(executor="process")
def hangs() -> None:
    time.sleep(LONG)


@job
def isolated_hangs() -> None:
    time.sleep(LONG)


@job(backoff=0)
def quick(seconds: float = 0.0) -> None:
    tell("ran")
    time.sleep(seconds)
