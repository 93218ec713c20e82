"""Jobs that fail in each executor, and a stand-in for an error tracker that is told by a hook around them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import traceback
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from pgjobs import CurrentJob, job
from pgjobs.hooks import around_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def tell(kind: str, **values: Any) -> None:
    """Print a line of JSON, in one write: what threads print with several is mixed."""
    sys.stdout.write(f"{kind} {json.dumps({**values, 'pid': os.getpid(), 'thread': threading.get_ident()})}\n")
    sys.stdout.flush()


@around_job
@contextmanager
def track(job: CurrentJob) -> Iterator[None]:
    """Print each exception once."""
    if job.meta.get("fault") == "raise":
        raise OSError("tracker is down")
    if job.meta.get("fault") == "exit":
        os._exit(7)
    if job.meta.get("fault") == "hang":
        time.sleep(60)
    try:
        yield
    except Exception as error:
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        tell("tracked", id=job.id, attempt=job.attempt, meta=job.meta, error=repr(error), stack=frames)
        raise


@around_job
@asynccontextmanager
async def follow(job: CurrentJob) -> AsyncIterator[None]:
    """Print which jobs are awaited."""
    await asyncio.sleep(0)
    yield
    tell("followed", id=job.id)


def _fail() -> None:
    tell("failed")
    raise ValueError("no")


@job(max_attempts=2, backoff=0)
def fail() -> None:
    _fail()


@job(max_attempts=2, backoff=0)
async def fail_later() -> None:
    await asyncio.sleep(0)
    _fail()


@job(max_attempts=1)
def work(seconds: float = 0) -> None:
    time.sleep(seconds)


@job(max_attempts=1)
async def work_later() -> None:
    await asyncio.sleep(0)
