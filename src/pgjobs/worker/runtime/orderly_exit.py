"""The end of a process that has done its work: what jobs registered for it is run, in a limited time.

The interpreter's own end would do that too, but it waits for threads that never end, and threads of stuck jobs may
crash it while it takes itself apart. So its steps are taken here: hooks are called, pools and threads end, then what
`atexit` knows is called (events are sent, coverage is saved, temporary folders are removed, managers end), and the
files are flushed.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from pgjobs.hooks.lifetime import run_stop_hooks, running_hook
from pgjobs.worker.runtime.job_output import finish_lines

log = logging.getLogger("pgjobs.worker")
THREADS_WITHIN = 4.0  # seconds for pools, and threads that are no daemons
LEAVE_WITHIN = 10.0  # seconds for everything; a supervisor gives its workers 20 s beyond the grace


def leave_in_order(code: int, *, with_group: Callable[[], bool] = lambda: False) -> NoReturn:
    """Run what is registered for the end of this process, and exit. Call it in the main thread.

    `with_group`: whether to kill the programs that its jobs started, as a supervisor would. It is asked last of all:
    the supervisor may end while this process leaves.
    """
    threading.Thread(target=_leave_late, args=(code, with_group), name="pgjobs-leave-late", daemon=True).start()
    run_stop_hooks()
    pools = threading.Thread(target=_end_threads, name="pgjobs-end-threads", daemon=True)
    pools.start()
    pools.join(THREADS_WITHIN)
    with suppress(BaseException):  # what is registered may raise anything; atexit prints it, and continues
        atexit._run_exitfuncs()
    finish_lines(None)
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # a job may have closed it
            stream.flush()
    with suppress(Exception):
        ctypes.CDLL(None).fflush(None)  # what libraries in C have printed
    _leave(code, with_group)


def _end_threads() -> None:
    # The standard library's pools register here, and not with atexit: their threads have to end before the others.
    for end in reversed(getattr(threading, "_threading_atexits", ())):
        with suppress(BaseException):
            end()
    us = (threading.main_thread(), threading.current_thread())
    for thread in threading.enumerate():
        if not thread.daemon and thread not in us:
            thread.join()


def _leave_late(code: int, with_group: Callable[[], bool]) -> None:
    time.sleep(LEAVE_WITHIN)
    hook = running_hook()
    what = "what jobs registered for the end of this process" if hook is None else f"the hook {hook}"
    log.warning("%s did not end within %g s", what, LEAVE_WITHIN)
    _leave(code, with_group)


def _leave(code: int, with_group: Callable[[], bool]) -> NoReturn:
    if with_group() and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(code)  # threads of jobs that do not end must not hold up the exit
