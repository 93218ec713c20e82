"""Raise in a job's thread where no lock stays locked, and no import is broken off.

Python raises such an exception in the innermost frame, at its next step. Between `lock.acquire()` and the `try` that
releases it that is too early, and in `release` too. `logging` has such places, and the next to log would wait forever.
So the thread's place is looked at first: if it is not a safe one, the watchdog comes again in a moment.
"""

from __future__ import annotations

import dis
import sys
from functools import lru_cache, partial
from itertools import compress, starmap, tee
from operator import attrgetter, eq, itemgetter
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from pgjobs.worker.executors.async_exception import raise_in_thread
from pgjobs.worker.executors.own_code import run

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK_FUNCTIONS = frozenset(
    {
        *("acquire", "release", "_acquireLock", "_releaseLock", "_acquire_restore", "_release_save"),
        *("__enter__", "__exit__", "__del__"),
        *("enter_context", "_push_cm_exit", "_push_exit_callback"),  # ExitStack: what is entered, it does not know yet
    }
)
_HARMLESS = frozenset({"sleep", "wait", "poll", "select", "recv"})  # a call of these takes nothing
_CALLS = frozenset({"PRECALL", "CALL", "CALL_KW", "CALL_FUNCTION_EX"})
_LOOKS = _CALLS | {"JUMP_BACKWARD", "RESUME"}  # the steps after which Python looks for an exception from outside
_JUMPS = frozenset({*dis.hasjrel, *dis.hasjabs})
_ENDS = frozenset({"JUMP_FORWARD", "JUMP_BACKWARD", "RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"})


def raise_safely(thread: int, error: type[BaseException]) -> bool:
    """Raise it in the job that runs in this thread; False: it is not at a safe place, or is handling one already."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return False
    place = frame, frame.f_lasti
    if not is_safe(frame) or _is_handling(thread, error):
        return False
    # One call into C, so that the thread cannot take a step between the last look and the raise.
    now, same = tee(map(itemgetter(thread), starmap(sys._current_frames, [()])))
    is_there = map(partial(eq, place), zip(now, map(attrgetter("f_lasti"), same), strict=True))
    return bool(list(starmap(raise_in_thread, compress([(thread, error)], is_there))))


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
    """Return the places, as `f_lasti` has them, where an exception would arrive between a call and the `try` behind it.

    What the call took, the `try` is to release.
    """
    steps = list(dis.Bytecode(code))
    at = {step.offset: number for number, step in enumerate(steps)}
    ends = [step.offset for step in steps[1:]] + [len(code.co_code)]
    guards = _guards(code, steps, at)
    found: set[int] = set()
    since: list[int] = []  # the steps since Python looked last: the exception arrives after the next look
    names: set[str] = set()  # that were loaded there
    for number, step in enumerate(steps):
        since.append(number)
        if step.opname.startswith("LOAD_"):
            names.add(str(step.argval))
        if step.opname in _CALLS and (names & _LOCK_FUNCTIONS or not names & _HARMLESS):
            here = guards.get(step.offset, frozenset())
            if any(guards.get(later.offset, here) - here for later in _until_next_look(steps, at, number)):
                for each in since:
                    found.update(range(steps[each].offset, ends[each], 2))  # while a call runs, it is one of its caches
        if step.opname in _LOOKS or step.opname in _ENDS:
            if step.opname != "PRECALL":
                names = set()
            since = [number] if step.opname == "PRECALL" else []
    return frozenset(found)


def _until_next_look(steps: list[dis.Instruction], at: dict[int, int], call: int) -> Iterator[dis.Instruction]:
    """Yield what Python may do after a call before it looks again. What `with` enters was not taken by the call."""
    seen: set[int] = set()
    waiting = [call + 1]
    while waiting:
        number = waiting.pop()
        if number in seen or number >= len(steps):
            continue
        seen.add(number)
        step = steps[number]
        if step.opname == "CALL" and steps[number - 1].opname == "PRECALL":
            waiting.append(number + 1)
        elif not step.opname.startswith("BEFORE_"):
            yield step
            if step.opname not in _LOOKS:
                waiting += [at[step.argval]] if step.opcode in _JUMPS else []
                waiting += [number + 1] if step.opname not in _ENDS else []


def _guards(code: CodeType, steps: list[dis.Instruction], at: dict[int, int]) -> dict[int, frozenset[int]]:
    """Return for each step the handlers that would run there whatever is raised: `finally`, and the like."""
    bytecode: Any = dis.Bytecode(code)
    entries = bytecode.exception_entries
    outer = {offset: e.target for e in entries for offset in range(e.start, e.end, 2)}

    def of(offset: int) -> frozenset[int]:
        found, seen = set(), set()
        while (target := outer.get(offset)) is not None and target not in seen:
            seen.add(target)
            if _takes_all(steps, at[target]):
                found.add(target)
            offset = target
        return frozenset(found)

    each = {e.target: of(e.start) for e in entries}
    return {step.offset: each[outer[step.offset]] for step in steps if step.offset in outer}


def _takes_all(steps: list[dis.Instruction], number: int) -> bool:
    """Return True if a handler is for all exceptions; `except ValueError` releases nothing that was taken before."""
    if steps[number].opname != "PUSH_EXC_INFO":
        return False
    for step in steps[number + 1 :]:
        if step.opname == "CHECK_EXC_MATCH":
            return False
        if not (step.opname.startswith("LOAD_") or step.opname == "BUILD_TUPLE") or step.argval == "BaseException":
            return True
    return True


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
