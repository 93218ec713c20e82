"""The jobs of this process that have a name of their own: `@job(name=…, aliases=…)`. Importing a module fills it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pgjobs.core.callables import MAIN_MODULES
from pgjobs.core.errors import PayloadError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_str, check_name

if TYPE_CHECKING:
    from pgjobs.jobs.job import Job

MAX_TASK_NAME = 200  # characters
_jobs: dict[str, Job[..., Any]] = {}
"""By name and by alias."""


def check_names(name: object, aliases: object) -> tuple[str | None, tuple[str, ...]]:
    """Return the name and the aliases of a job.

    Raises:
        UsageError: one of them is not a name of 1 to 200 printable characters, or `aliases` is not a list of them.

    """
    own = None if name is None else check_name("name", name, MAX_TASK_NAME)
    if as_str(aliases) is not None or not isinstance(aliases, Iterable):
        raise UsageError(f'aliases={shorten_repr(aliases)}: give a list of names, such as ["old_shop.tasks:sync"].')
    return own, tuple(check_name("aliases", alias, MAX_TASK_NAME) for alias in aliases)


def register(job: Job[..., Any]) -> None:
    """Make a job known by its name and its aliases. A module that is loaded again replaces its jobs.

    Raises:
        UsageError: another job has one of the names.

    """
    names = names_of_job(job)
    for name in names:
        other = _jobs.get(name)
        if other is not None and not _is_same(other, job):
            raise UsageError(
                f"{_home(job)} and {_home(other)} both have the name {shorten_repr(name)}: give one of them another "
                "name= (or take it out of aliases=)."
            )
    _jobs.update(dict.fromkeys(names, job))


def find_job(name: str) -> Job[..., Any] | None:
    """Return the job with this name or alias; None if this process has not imported one."""
    return _jobs.get(name)


def names_of_job(job: Job[..., Any]) -> tuple[str, ...]:
    """Return the names that find a job: its own first, then its aliases."""
    return (job.declared_name or _home(job), *job.aliases)


def names_of_task(task: str) -> tuple[str, ...]:
    """Return all names of the job that a row's `task` means; those that are not registered have one."""
    found = _jobs.get(task)
    return (task,) if found is None else names_of_job(found)


def import_job(name: str, module: str) -> Job[..., Any]:
    """Return the job with this name, after an import of the module that had it when the job was enqueued.

    Raises:
        PayloadError: the module has no such job any longer.

    """
    found = _jobs.get(name)
    if found is not None:
        return found
    if module in MAIN_MODULES:  # to import it is to run it
        raise missing(name, f"it was enqueued by a script, {module}")
    try:
        import_module(module)
    except ImportError as error:
        raise missing(name, f"{module}, which had it, cannot be imported ({error})") from error
    found = _jobs.get(name)
    if found is None:
        raise missing(name, f"{module} no longer has it")
    return found


def missing(name: str, cause: str) -> PayloadError:
    """Return the error for a name that no job has here. For `why` it is code that cannot be imported."""
    error = PayloadError(
        f"the payload cannot be loaded: this worker knows no job {shorten_repr(name)}: {cause}. Start it with "
        "--import MODULE, the module that declares it; if it was renamed, add the old name to its aliases=."
    )
    error.__cause__ = AttributeError(name)
    return error


def _is_same(one: Job[..., Any], other: Job[..., Any]) -> bool:
    """Return True if both are one definition: loaded again, or run as a script and imported."""
    if one.__qualname__ != other.__qualname__:
        return False
    modules = {one.__module__, other.__module__}
    return len(modules) == 1 or not modules.isdisjoint(MAIN_MODULES)


def _home(job: Job[..., Any]) -> str:
    return f"{job.__module__}:{job.__qualname__}"
