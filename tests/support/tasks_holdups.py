"""Jobs that hold up whatever runs beside them."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time

from pgjobs import job


@job(timeout=1, max_attempts=1)
def hold_the_interpreter() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")  # one call into C that never lets another thread run


@job
async def block_the_loop(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 (that is the mistake that is tried out)


@job(timeout=0.5, max_attempts=1)
async def rest_a_moment() -> None:
    await asyncio.sleep(0.01)


@job(executor="process")
def close_stdout() -> None:
    sys.stdout.close()


@job(max_attempts=1)
def leave() -> None:
    os._exit(3)


@job
def take_some_time(seconds: float) -> None:
    time.sleep(seconds)


class SlowToLoad:
    """An argument that is slow to load, as the first import of a large library does."""

    def __reduce__(self) -> tuple[object, tuple[float]]:
        return time.sleep, (3.0,)
