"""Find what a row names, `module:qualname`, without running into what it did not mean."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from pgjobs.core.allowlist import AllowList
from pgjobs.core.callables import MAIN_MODULES
from pgjobs.core.errors import NotAllowedError
from pgjobs.jobs.job import Job
from pgjobs.jobs.registry import find_job


def find(module: str, name: str, may_look_into: Callable[[type, str], bool]) -> Any:
    """Import the module, and return what has this name in it.

    Each part of a dotted name is looked at before the next one is taken: it is a class, and `may_look_into` says so of
    the class and the name so far. A module that was imported there is never entered: some import more when they are
    asked for a name.

    Raises:
        NotAllowedError: the name leads through something else; or the module is one that is run, not imported.
        Others: those of the import; AttributeError, if there is no such name.

    """
    if module.rpartition(".")[2] in MAIN_MODULES:
        raise NotAllowedError(f"{module}:{name} may not be used: {module} is a program, and to import it is to run it.")
    first, *rest = name.split(".")
    namespace = vars(import_module(module))  # not getattr(): a module's __getattr__ may import
    if first not in namespace or is_dunder(first):
        raise AttributeError(f"module {module!r} has no attribute {first!r}")
    found, so_far = namespace[first], first
    for part in rest:
        if not isinstance(found, type) or is_dunder(part) or not may_look_into(found, so_far):
            raise NotAllowedError(f"{module}:{name} may not be used: {so_far} is not a class of that module.")
        found, so_far = getattr(found, part), f"{so_far}.{part}"
    return found


def is_dunder(name: str) -> bool:
    """Return True if it is a name of Python's own, such as `__class__`."""
    return name.startswith("__") and name.endswith("__")


def is_permitted(found: Any, allow: AllowList) -> bool:
    """Return True if an object is defined where the list allows it; for a job with a name, also if that is listed."""
    module, _, name = home_of(found).partition(":")
    return allow.permits(module, name) or (
        issubclass(type(found), Job) and found.declared_name is not None and allow.permits_task(found.declared_name)
    )


def may_run(task: str, allow: AllowList) -> bool:
    """Return True if the list allows a task, by its name or because it is an allowed job's. Nothing is imported."""
    found = find_job(task)
    return allow.permits_task(task) or (found is not None and is_permitted(found, allow))


def home_of(found: Any) -> str:
    """Return `module:qualname` of what was found by another name, perhaps."""
    if isinstance(found, ModuleType):
        return f"{found.__name__}:"
    named = found if hasattr(found, "__qualname__") else type(found)
    return f"{getattr(named, '__module__', None)}:{named.__qualname__}"
