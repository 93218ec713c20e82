"""What jobs do that should not: the ends of tests.support.tasks_ends, and worse."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from pgjobs import job
from tests.support.tasks_ends import ENDS

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1024 * 1024
PRINTED = 32 * MEGABYTE  # of each of stdout and stderr
STAYS = 2.0  # seconds


class IrreducibleError(Exception):
    """Raises when it is pickled."""

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("from __reduce__")


def _irreducible() -> None:
    raise IrreducibleError("no way")


def _overflow(depth: int = 0) -> int:
    """Recurse through C, which has no limit but the stack."""
    sys.setrecursionlimit(1_000_000_000)
    return max(map(_overflow, [depth + 1]))


def _sleep_in_c() -> None:
    ctypes.PyDLL(None).sleep(3)  # unlike CDLL, it keeps the interpreter's lock


def _match() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def _fork_ten_times() -> None:
    for _ in range(10):
        if not os.fork():
            return  # into the worker's own code


def _fork_ten_that_stay() -> None:
    for _ in range(10):
        if not os.fork():
            time.sleep(STAYS)
            os._exit(0)


def _print_much() -> None:
    line = "x" * 1023
    for _ in range(PRINTED // 1024):
        print(line)
        print(line, file=sys.stderr)


def _leave_threads() -> None:
    for number in range(10):
        threading.Thread(target=time.sleep, args=(STAYS,), daemon=number % 2 == 0).start()


def _exit_in_thread() -> None:
    threading.Thread(target=os._exit, args=(7,)).start()
    time.sleep(5)


def _set_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.3)


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))


def _wake_nobody() -> None:
    _, end = os.pipe()
    os.set_blocking(end, False)
    signal.set_wakeup_fd(end)


def _use_memory() -> int:
    return len(b"x" * (2048 * MEGABYTE))


def _call_false() -> None:
    """Do nothing wrong, but see what others have done: where SIGCHLD is ignored, no program seems to fail."""
    code = subprocess.run(["false"], check=False).returncode
    assert code == 1, code


MISDEEDS: dict[str, Callable[[], object]] = ENDS | {
    "exit in a thread of its own": _exit_in_thread,
    "abort": os.abort,
    "overflow the stack": _overflow,
    "sleep in C": _sleep_in_c,
    "match": _match,
    "fork ten times": _fork_ten_times,
    "fork ten that stay": _fork_ten_that_stay,
    "use 2 GB": _use_memory,
    "close 3 and above": lambda: os.closerange(3, 4096),
    "close 0 to 2": lambda: os.closerange(0, 3),
    "print much": _print_much,
    "leave threads": _leave_threads,
    "set an alarm": _set_alarm,
    "ignore signals": _ignore_signals,
    "block signals": _block_signals,
    "call false": _call_false,
    "rest": lambda: time.sleep(0.5),
    "wake no thread": _wake_nobody,
    "no last stack": faulthandler.disable,
    "return 500 MB": lambda: b"x" * (500 * MEGABYTE),
    "raise what cannot be reduced": _irreducible,
}


@job
def misbehave(name: str) -> object:
    """Do it, in a thread or a process."""
    return MISDEEDS[name]()


@job
async def misbehave_async(name: str) -> object:
    """Do it on the loop."""
    return MISDEEDS[name]()
