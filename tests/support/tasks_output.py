"""Jobs that print, and jobs of an application with a logging configuration of its own."""

from __future__ import annotations

import logging
import logging.config
import os
import sys
import threading

from pgjobs import job


@job
def say(text: str) -> None:
    """Print a line, bytes, a line in two pieces, and one that is not completed."""
    print(f"{text}: a", "line")
    sys.stdout.buffer.write(f"{text}: bytes\n".encode())
    print(f"{text}: two", end=" ")
    print("pieces")
    print(f"{text}: no end", end="|")


@job
async def say_async(text: str) -> None:
    say(text)  # a job is still the function


@job(max_attempts=1)
def crash() -> None:
    print("the last words")
    os._exit(9)


_together = threading.Barrier(4)


@job(timeout=20)
def say_together(number: int) -> None:
    """Print lines while three others do."""
    _together.wait(10)
    for _ in range(100):
        print("job", number, f"prints\njob {number} walks", "ahead")
        print("job", number, "complains", file=sys.stderr)


@job
def configure(path: str) -> None:
    """Configure logging as many applications do when they are imported; all loggers that are there are disabled."""
    logging.config.dictConfig(
        {
            "version": 1,
            "formatters": {"plain": {"format": "%(levelname)s:%(job_id)s:%(message)s", "defaults": {"job_id": "-"}}},
            "handlers": {"file": {"class": "logging.FileHandler", "filename": path, "formatter": "plain"}},
            "root": {"level": "INFO", "handlers": ["file"]},
        }
    )


class BrokenHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("a broken handler")


@job
def break_a_handler() -> None:
    logging.getLogger("pgjobs.job").addHandler(BrokenHandler())


def inner(text: str) -> None:
    raise ValueError(text)


@job(max_attempts=1)
def fail(text: str) -> None:
    inner(text)


@job(max_attempts=1)
async def fail_async(text: str) -> None:
    inner(text)
