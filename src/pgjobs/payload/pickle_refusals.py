"""Why a call cannot be pickled, and what to do about it: which part of it, and what is defined in the script itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from types import MethodType
from typing import Any, TypeAlias

from pgjobs.core.callables import MAIN_MODULES, lost_method, parameters_of
from pgjobs.core.error_text import text_of
from pgjobs.core.errors import EnqueueError
from pgjobs.jobs.job import task_name
from pgjobs.payload.argument_advice import advice_on

PROTOCOL = 5
_METHOD = " Let its decorators use functools.wraps, or enqueue a function that calls it."
_REASON_LIMIT = 300  # characters of another library's message
_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"})
_FROM_MEMO = frozenset({"BINGET", "LONG_BINGET"})
CallParts: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]
"""A callable, its arguments by position, and those by name."""


def advice_for(error: Exception) -> str:
    """Return how a function without a name could travel; empty for other errors."""
    text = str(error)
    if "<locals>" in text or "<lambda>" in text or "local object" in text:
        return " Define it at the top level of a module, or install pgjobs-runner[cloudpickle] to send it by value."
    return ""


def refusal(
    call: CallParts,
    dumps: Callable[[Any, int], bytes],
    error: Exception,
    advice: str,
) -> EnqueueError:
    """Return the error for a call that `dumps` refused: it names the first part that cannot be pickled."""
    name = task_name(call[0])
    for what, value in named_parts(*call):
        try:
            dumps(value, PROTOCOL)
        except Exception as own:
            way_out = advice or (_advice_on_callable(own) if value is call[0] else f" Instead: {advice_on(value)}")
            return EnqueueError(f"{what} of {name} cannot be pickled: {reason_of(own)}.{way_out}")
    return EnqueueError(f"{name} and its arguments cannot be pickled: {reason_of(error)}.{advice}")


def refusal_of_method(callable: Callable[..., Any], method: MethodType) -> EnqueueError:
    """Return the error for a method that is not found by its name, although it can be pickled."""
    why = lost_method(method.__self__, method.__name__)
    return EnqueueError(f"the callable itself of {task_name(callable)} cannot be pickled: {why}.{_METHOD}")


def _advice_on_callable(error: Exception) -> str:
    text = text_of(error)
    if "not the same object" in text and "<job " in text:
        return " Put @job above the other decorators."
    return _METHOD if "workers look for" in text else " Enqueue a function of a module that makes the object."


def named_parts(
    callable: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, object]]:
    """Yield the parts of a call, each with its description."""
    names = parameters_of(callable).positional
    for position, value in enumerate(args):
        name = f" {names[position]!r}" if position < len(names) else ""
        yield f"argument {position + 1}{name}", value
    for keyword, value in kwargs.items():
        yield f"argument {keyword!r}", value
    yield "the callable itself", callable


def refuse_main(payload: bytes) -> None:
    """Refuse a payload with a name of `__main__`.

    Raises:
        EnqueueError: it has one.

    """
    for module, name in _globals(payload):
        if module in MAIN_MODULES:
            raise EnqueueError(main_module_message(name))


def main_module_message(name: str) -> str:
    """Return why nothing that is defined in the script itself is enqueued, and what to do."""
    return (
        f"{name} is defined in __main__, the script that was started, and no worker can import it from there: "
        f"{_way_out_of_main(name.partition('.')[0])}."
    )


def _way_out_of_main(name: str) -> str:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    file = getattr(main, "__file__", None)
    if spec is not None and not spec.name.endswith("__main__"):
        return f"enqueue it from another module, with `from {spec.name} import {name}`"
    if file:
        module = file.rpartition("/")[2].removesuffix(".py")
        return f"move it to a module of its own, or enqueue it from another one, with `from {module} import {name}`"
    return "move it to a module, and import it from there"


def _globals(payload: bytes) -> Iterator[tuple[str, str]]:
    """List what the pickle imports when it is loaded, as (module, name); nothing is loaded for that."""
    import pickletools

    memo: list[str] = []  # of what is not a string, ""
    before = last = top = ""  # the last two strings that were pushed, and what lies on top
    for opcode, argument, _ in pickletools.genops(payload):
        kind = opcode.name
        if kind == "MEMOIZE":
            memo.append(top)
        elif kind == "STACK_GLOBAL":
            yield before, last
            top = ""
        elif kind in _STRINGS or kind in _FROM_MEMO:
            top = str(argument) if kind in _STRINGS else memo[int(str(argument))]
            before, last = last, top
        elif kind != "FRAME":
            top = ""


def reason_of(error: BaseException) -> str:
    """Return another library's message in one line, with its kind."""
    text = " ".join(text_of(error).split())
    if len(text) > _REASON_LIMIT:
        text = text[: _REASON_LIMIT - 1] + "…"
    name = type(error).__name__
    return f"{name}: {text.rstrip('.')}" if text else name
