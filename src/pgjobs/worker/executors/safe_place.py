"""Raise in a job's thread where no lock stays locked, and no import is broken off.

Python raises such an exception in the innermost frame, at its next step. Between `lock.acquire()` and the `try` that
releases it that is too early, and in `release` too. `logging` has such places, and the next to log would wait forever.
So the thread's place is looked at first: if it is not a safe one, the watchdog comes again in a moment.
"""

from __future__ import annotations

import dis
import sys
from functools import lru_cache, partial
from itertools import compress, starmap
from operator import is_, itemgetter
from types import CodeType, FrameType
from typing import Any

from pgjobs.worker.executors.async_exception import raise_in_thread
from pgjobs.worker.executors.invoke import run

_LOCK_FUNCTIONS = frozenset(
    {
        *("acquire", "release", "_acquireLock", "_releaseLock", "_acquire_restore", "_release_save"),
        *("__enter__", "__exit__", "__del__"),
    }
)
_PASSED_OVER = frozenset({"POP_TOP", "NOP", "STORE_FAST", "STORE_NAME"})  # between a call and the `try` behind it
_HANDLER = dis.opmap["PUSH_EXC_INFO"]


def raise_safely(thread: int, error: type[BaseException]) -> bool:
    """Raise it in the job that runs in this thread; False: it is not at a safe place, or is handling one already."""
    frame = sys._current_frames().get(thread)
    if frame is None or not is_safe(frame) or _is_handling(thread, error):
        return False
    # One call into C, so that the thread cannot take a step between the last look and the raise.
    same = map(partial(is_, frame), map(itemgetter(thread), starmap(sys._current_frames, [()])))
    return bool(list(starmap(raise_in_thread, compress([(thread, error)], same))))


def is_safe(frame: FrameType) -> bool:
    """Return True if the frame is a job's own, outside of imports, and holds no lock that it would not release."""
    outer: FrameType | None = frame
    while outer is not None and outer.f_code is not run.__code__:
        if outer.f_code.co_filename.startswith("<frozen importlib") or outer.f_code.co_name == "__del__":
            return False
        outer = outer.f_back
    if outer is None or outer is frame:
        return False
    return frame.f_code.co_name not in _LOCK_FUNCTIONS and frame.f_lasti not in _before_try(frame.f_code)


@lru_cache(1_000)
def _before_try(code: CodeType) -> frozenset[int]:
    """Return the places, as `f_lasti` has them, just before a `try`: what a call there took is not released yet."""
    bytecode: Any = dis.Bytecode(code)
    ranges = [(e.start, e.end) for e in bytecode.exception_entries if code.co_code[e.target] == _HANDLER]
    steps = list(bytecode)
    ends = [step.offset for step in steps[1:]] + [len(code.co_code)]
    found: set[int] = set()
    passed: list[int] = []
    before = ""
    for step, end in zip(steps, ends, strict=True):
        here = range(step.offset, end, 2)  # with its caches: while a call runs, `f_lasti` is one of them
        if any(start <= step.offset < stop for start, stop in ranges):
            found.update(passed)
            passed = []
        elif step.opname in _PASSED_OVER or (step.opname == "CALL" and before == "PRECALL"):
            passed.extend(here)
        else:
            passed = [*here]
        before = step.opname
    return frozenset(found)


def _is_handling(thread: int, error: type[BaseException]) -> bool:
    """Return True if such an exception is being handled there: the job is cleaning up after it."""
    handled: Any = sys._current_exceptions().get(thread)
    if isinstance(handled, tuple):  # before Python 3.12
        handled = handled[1]
    for _ in range(100):
        if handled is None or isinstance(handled, error):
            return handled is not None
        handled = handled.__context__
    return False
