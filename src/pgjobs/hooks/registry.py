"""What is registered in this process, in the order of registration. Each kind of hook has a registry of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr

F = TypeVar("F", bound=Callable[..., Any])


class Hook(NamedTuple, Generic[F]):
    """A registered function. `is_async`: it makes an asynchronous context manager."""

    function: F
    name: str
    is_async: bool = False


class Registry(Generic[F]):
    """The hooks of one kind. `hooks` is empty where none is registered, which is all that the hot paths look at."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.hooks: list[Hook[F]] = []

    def __iter__(self) -> Iterator[Hook[F]]:
        return iter(tuple(self.hooks))  # one may be added meanwhile

    def add(self, function: F, *, is_async: bool = False) -> None:
        """Add a function, or replace the one that is the same code, loaded again."""
        made = Hook(function, hook_name(function), is_async)
        for index, other in enumerate(self.hooks):
            if other.function is function or _is_older(other, made):
                self.hooks[index] = made
                return
        self.hooks.append(made)

    def clear(self) -> None:
        """Forget all, for tests."""
        self.hooks.clear()


def _is_older(other: Hook[F], made: Hook[F]) -> bool:
    """Return True if both are one definition and its module was loaded again.

    Functions that one factory has made are different hooks, and they share one code object. Lambdas have one name.
    """
    code, others = (getattr(inspect.unwrap(each.function), "__code__", None) for each in (made, other))
    if other.name != made.name or code is None or others is None or others is code:
        return False
    return "<" not in made.name or others.co_firstlineno == code.co_firstlineno


def hook_name(function: object) -> str:
    """Return `module:qualname`, or what else tells which one it is."""
    inner: Any = function
    if callable(function):
        inner = inspect.unwrap(function)
    name, module = (getattr(inner, each, None) for each in ("__qualname__", "__module__"))
    return f"{module}:{name}" if isinstance(name, str) and isinstance(module, str) else shorten_repr(function)


def check_plain(kind: str, function: object) -> None:
    """Refuse what is not a plain function.

    Raises:
        UsageError: it cannot be called, or nothing of its code would run.

    """
    if not callable(function):
        raise UsageError(f"@{kind} is for functions, and {shorten_repr(function)} is not callable.")
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"{hook_name(function)} is async, and @{kind} takes a plain function.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{hook_name(function)} is a generator function: @{kind} would run none of its code.")
