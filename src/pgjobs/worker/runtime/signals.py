"""What jobs may do to the signals of the process that they run in, and how it is undone."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_TIMERS = {
    signal.ITIMER_REAL: signal.SIGALRM,
    signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
    signal.ITIMER_PROF: signal.SIGPROF,
}


def survive_timers() -> None:
    """Have no timer end this process: one that a job in a thread sets would, as only the main thread sets handlers.

    What has a handler already keeps it. No SIG_IGN: programs that a job starts would inherit it.
    """
    for number in _TIMERS.values():
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda *_: None)


def keep_signals() -> Callable[[], None]:
    """Give a function that undoes what was done to signals since: handlers, mask, timers. Both in the main thread."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def undo() -> None:
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                with suppress(OSError, ValueError):
                    signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    return undo
