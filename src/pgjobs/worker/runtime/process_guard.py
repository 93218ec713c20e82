"""What a process guards against its jobs: they may close its files, fork it, or change its signal handlers."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

# -- Files. A job may close any of them. Its number is then given to the next file that is opened, and two users read
# and write each other's data. Nothing in the process can be relied on after that, so it exits as soon as it notices.

FILES_CLOSED = 174  # exit code; one that programs do not use
STANDARD = (0, 1, 2)
_own: dict[int, os.stat_result] = {}
_spares: dict[int, int] = {}  # copies of the standard files


def remember(*fds: int) -> None:
    """Remember what these files and the standard files are."""
    for fd in (*STANDARD, *fds):
        with suppress(OSError):  # a process may be started without the standard ones
            _own[fd] = os.fstat(fd)
            if fd in STANDARD:
                _spares[fd] = os.dup(fd)
                _own[_spares[fd]] = _own[fd]


def intact() -> bool:
    """Return True if every remembered file is still the same. A standard file that was closed is opened again."""
    return all(_is_sound(fd, own) for fd, own in _own.items())


def _is_sound(fd: int, own: os.stat_result) -> bool:
    try:
        now = os.fstat(fd)
        if fd not in STANDARD:
            return os.path.samestat(now, own)
        # Jobs may redirect it, but hardly to a socket: that is a new connection of ours, and would receive our logs.
        return stat.S_ISSOCK(own.st_mode) or not stat.S_ISSOCK(now.st_mode)
    except OSError:
        return fd in STANDARD and _reopen(fd, own)


def _reopen(fd: int, own: os.stat_result) -> bool:
    spare = _spares[fd]
    try:
        if not os.path.samestat(os.fstat(spare), own):
            return False
        os.dup2(spare, fd)
    except OSError:
        return False
    return True


# -- Forks. A forked child has the worker's memory and connections, and must not continue as a worker.

_forked = False


def _record_fork() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_record_fork)


def forked() -> bool:
    """Return True in a process that was forked from the one that imported this module."""
    return _forked


def in_fork(function: Callable[[], object]) -> None:
    """Call a function in every child that is forked from here."""
    os.register_at_fork(after_in_child=function)


# -- Signals.

_ours: dict[int, Any] = {}  # the handlers that this module has set
_masks = threading.local()
_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_NOT_USED = (signal.SIGUSR1, signal.SIGUSR2)
_BY_DEFAULT = {signal.SIGINT: signal.default_int_handler}


def handle_signals(handlers: Mapping[signal.Signals, Callable[[int, Any], object]]) -> None:
    """Handle these signals in this process, and in none that it starts: those get what Python and the system do.

    A handler is used where another process would ignore a signal, because programs that a job starts would inherit
    SIG_IGN. What it forks (`multiprocessing`) would inherit the handler; then `terminate()` would not end it.
    """
    if not _ours:
        os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_forget_handlers)
    for number, handler in handlers.items():
        _ours[number] = handler
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)  # its parent may have blocked them


def stop_signals() -> list[signal.Signals]:
    """List what stops a supervisor.

    A terminal that closes (SIGHUP) and one that sends SIGQUIT do, unless it was started with nohup, or by a script
    in the background.
    """
    of_terminals = (signal.SIGHUP, signal.SIGQUIT)
    return [n for n in _STOP if n not in of_terminals or signal.getsignal(n) is not signal.SIG_IGN]


def unused_signals() -> list[signal.Signals]:
    """List signals that mean nothing here, and would kill: a log rotation may send them. Jobs may use them."""
    return [n for n in _NOT_USED if signal.getsignal(n) is signal.SIG_DFL]


def _hold_signals() -> None:
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _forget_handlers() -> None:
    for number, handler in _ours.items():
        if signal.getsignal(number) is handler:
            signal.signal(number, _BY_DEFAULT.get(signal.Signals(number), signal.SIG_DFL))
    _release_signals()  # one that came meanwhile ends the child now


_TIMERS = {
    signal.ITIMER_REAL: signal.SIGALRM,
    signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
    signal.ITIMER_PROF: signal.SIGPROF,
}


def survive_timers() -> None:
    """Keep timers from ending this process: a job in a thread can set one, but only the main thread sets handlers.

    A signal that has a handler keeps it.
    """
    handle_signals(
        {number: lambda *_: None for number in _TIMERS.values() if signal.getsignal(number) is signal.SIG_DFL}
    )


def keep_signals() -> Callable[[], None]:
    """Return a function that restores handlers, mask and timers as they are now. Call both in the main thread."""
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
