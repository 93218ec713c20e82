"""Payloads in JSON, of functions that say `@job(payload="json")`.

They are for SQL, for other languages, and for those who want no pickles. Such a payload holds the arguments alone:

    [1, "x"]                     by position
    {"order_id": 1}              by name
    {"*": [1], "copy": true}     both
    {"*result": 60, …}           and the result is kept for 60 seconds, if not as @job says
    {"*event": {…}}              an event, for a subscription: see events.py

What is called is the job's `task`. It has to be a function that declares it, so a row cannot call anything else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from pgjobs.core.allowlist import AllowList, not_allowed
from pgjobs.core.callables import MAIN_MODULES, parameters_of
from pgjobs.core.errors import EnqueueError, NotAllowedError, PayloadError
from pgjobs.core.text import shorten_repr
from pgjobs.jobs.job import Job, task_name
from pgjobs.jobs.registry import find_job, missing
from pgjobs.payload.events import is_event, load_event
from pgjobs.payload.fast_pickle import finder
from pgjobs.payload.json_values import dumps, json_text
from pgjobs.payload.pickle_refusals import main_module_message
from pgjobs.payload.pickling import check_payload_size
from pgjobs.payload.safe.lookup import find, home_of, is_permitted, may_run

POSITIONAL = "*"  # the key of the arguments by position, where there are others: no parameter is called so
RESULT = "*result"  # how many seconds the result of this one is kept, if not as its job says; 0: not at all


class JsonDumper:
    """Makes the payloads of one job's calls, of at most `limit` bytes.

    Raises:
        EnqueueError: the job cannot be found by its name, so a worker could not either.

    """

    __slots__ = ("_job", "_limit", "_name", "_result", "is_found")

    head = None  # a pickle has one, JSON does not

    def __init__(self, job: Job[..., Any], limit: int) -> None:
        base: Any = job.base
        self._job, self._limit = base, limit
        own = job.job_options.result
        self._result = {} if own == base.job_options.result else {RESULT: own or 0}
        self._name: str = base.__qualname__
        if base.__module__ in MAIN_MODULES:
            raise EnqueueError(main_module_message(self._name))
        self.is_found: Callable[[], bool] = finder(base)
        """Returns True if the job is found by its name, now."""
        if not self.is_found():
            raise EnqueueError(
                f"{task_name(job)} has payload='json', and is not found by that name: that is for functions at the top "
                "of a module, or static ones of a class there."
            )

    def dump(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """Make the payload of one call.

        Raises:
            EnqueueError: JSON has no such value, or it is too large.

        """
        for name in (POSITIONAL, RESULT):
            if name in kwargs:
                raise EnqueueError(f"an argument of {self._name} is called {name!r}, which JSON payloads keep back.")
        for name, value in (*self._named(args), *kwargs.items()):
            self._check(name, value)
        named = {**self._result, **kwargs}
        whole = list(args) if not named else {POSITIONAL: args, **named} if args else named
        payload = dumps(whole).encode()
        check_payload_size(self._job, payload, self._limit)
        return payload

    def _named(self, args: tuple[Any, ...]) -> list[tuple[str, Any]]:
        names = parameters_of(self._job).positional
        return [(names[i] if i < len(names) else str(i + 1), value) for i, value in enumerate(args)]

    def _check(self, name: str, value: object) -> None:
        try:
            json_text(value)
        except ValueError as error:
            raise EnqueueError(
                f"argument {name!r} of {self._name} is {shorten_repr(value)}, which JSON does not have ({error}): pass "
                "strings, numbers, booleans, None, lists and dicts with strings as keys, or leave out payload='json'."
            ) from error


def load_json(
    payload: bytes, task: str, allow: AllowList | None, *, may_import: bool = True
) -> tuple[Job[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Find the job of this name, and its arguments.

    `may_import`: whether a module that the row names may be imported. Whether a job is in it shows only afterwards,
    when its code has run.

    Raises:
        NotAllowedError: it is not on the allow-list, or neither a job nor a function of that module.
        PayloadError: the payload cannot be read, the arguments do not fit, or the job does not take JSON here.

    """
    found: Any = find_job(task)
    if found is None and ":" not in task:
        raise missing(task, "no module that was imported here declares it")
    if allow is not None and not may_run(task, allow):
        raise NotAllowedError(not_allowed(task))
    if is_event(payload):
        event = load_event(payload)
        return _job_of(task, found, allow, "event", may_import=may_import), (event,), {}
    whole = json.loads(payload)
    seconds = None if isinstance(whole, list) else whole.pop(RESULT, None)
    args, kwargs = (whole, {}) if isinstance(whole, list) else (whole.pop(POSITIONAL, []), whole)
    if not isinstance(args, list):
        raise PayloadError(
            f'the payload cannot be loaded: "{POSITIONAL}" is a list of arguments, not {shorten_repr(args)}.'
        )
    found = _job_of(task, found, allow, "json", may_import=may_import)
    mismatch = parameters_of(found).mismatch(tuple(args), kwargs)
    if mismatch:
        raise PayloadError(f"{task} cannot be called with these arguments: {mismatch}.")
    if seconds is not None:
        found = found.with_job_options(found.job_options.changed(result=seconds or None))
    return found, tuple(args), kwargs


def _job_of(task: str, found: Any, allow: AllowList | None, kind: str, *, may_import: bool) -> Job[..., Any]:
    """Return the job of a task that takes this kind of payload; `found`: by its own name, if it has one."""
    if found is None:
        module, _, name = task.partition(":")
        if not may_import and sys.modules.get(module) is None:
            raise _not_imported(task, module)
        found = find(module, name, lambda owner, so_far: allow is None or is_permitted(owner, allow))
        # It may be an old name of what is elsewhere now, which has to be on the list as well.
        if allow is not None and not is_permitted(found, allow):
            raise NotAllowedError(not_allowed(home_of(found)))
    if isinstance(found, Job) and found.job_options.payload == kind:
        return found
    message = (
        f"{task} takes no events: declare it with @subscribe."
        if kind == "event"
        else f'{task} takes no JSON payload: declare it with @job(payload="json"), and enqueue it by its own name.'
    )
    if isinstance(found, Job) or (isinstance(found, FunctionType) and home_of(found) == task):
        # This worker may have the version before, or after, the one that enqueued it: a deployment fixes that.
        raise PayloadError(f"the payload cannot be loaded: {message}") from AttributeError(task)
    raise NotAllowedError(message)


def _not_imported(task: str, module: str) -> PayloadError:
    """Return the error for a module that may not be imported for this row. It is retried like a missing module."""
    error = PayloadError(
        f"the payload cannot be loaded: {module} was not imported here, and with --payload json a worker imports no "
        f"module because a row names it ({shorten_repr(task)}). Start it with --import {module}, or with --allow for "
        "what may be imported."
    )
    error.__cause__ = ModuleNotFoundError(module)
    return error
