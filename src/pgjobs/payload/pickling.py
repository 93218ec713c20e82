"""A callable with its arguments, to bytes and back: one pickle of `(callable, args, kwargs)`, protocol 5.

Functions and classes travel as names, so a worker runs its own code. What has no name (lambdas, closures, functions
made in functions) travels by value, with cloudpickle where that is installed.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from types import MethodType, ModuleType
from typing import Any

from pgjobs.core.allowlist import AllowList, not_allowed
from pgjobs.core.callables import MAIN_MODULES, is_found, unwrap
from pgjobs.core.config import settings
from pgjobs.core.errors import EnqueueError, NotAllowedError, PayloadError
from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE
from pgjobs.jobs.job import Job, options_of, task_name
from pgjobs.jobs.registry import find_job
from pgjobs.payload.orm_objects import may_have_some, refuse_orm_objects
from pgjobs.payload.pickle_refusals import (
    PROTOCOL,
    CallParts,
    advice_for,
    main_module_message,
    named_parts,
    reason_of,
    refusal,
    refusal_of_method,
    refuse_main,
)


class Call:
    """What a payload holds. Calling it runs the callable."""

    __slots__ = ("args", "callable", "kwargs")

    def __init__(self, callable: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.callable = callable
        self.args = args
        self.kwargs = kwargs

    def __call__(self) -> Any:
        """Run it, and return its result: a coroutine, if it is async."""
        return self.callable(*self.args, **self.kwargs)


def dump(callable: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """Make the payload of a call.

    Options that were changed for this enqueue are left out: they are stored in the job's row, as far as it has columns.

    Raises:
        EnqueueError: something in it cannot be pickled, a worker could not import it, or it is too large.

    """
    target: Callable[..., Any] = callable.in_payload if isinstance(callable, Job) else callable
    call = (target, args, kwargs)
    method = unwrap(target, methods=False).function
    if type(method) is MethodType and not is_found(method):
        raise refusal_of_method(target, method)
    try:
        payload = pickle.dumps(call, PROTOCOL)
    except Exception as error:  # objects decide themselves what they raise when they are pickled
        payload = _dump_by_value(call, error)
    if may_have_some(payload) and not options_of(callable).orm_objects:
        refuse_orm_objects(target, named_parts(*call))
    check_payload_size(target, payload, settings().max_payload)
    if b"_main__" in payload:  # in both names of the script that was started
        if isinstance(method, Job) and method.declared_name is not None and method.__module__ in MAIN_MODULES:
            raise EnqueueError(main_module_message(method.__qualname__))
        refuse_main(payload)
    return payload


def check_payload_size(target: Callable[..., Any], payload: bytes, limit: int) -> None:
    """Refuse a payload of more than `limit` bytes.

    Raises:
        EnqueueError: it is too large.

    """
    if len(payload) > limit:
        raise EnqueueError(
            f"the payload of {task_name(target)} is {len(payload):,} bytes, and {limit:,} are allowed: store the data "
            "elsewhere and enqueue a reference to it, or raise PGJOBS_MAX_PAYLOAD."
        )


def load(payload: bytes, task: str = "", allow: AllowList | None = None, *, pickles: bool = True) -> Call:
    """Read a payload, a pickle or JSON.

    The author of a pickle decides what code this runs: verify its signature first (see `signing`). With an allow-list
    only what is on it is imported and called, and `task` has to be on it as well. `pickles`: whether there may be any.

    Raises:
        PayloadError: it cannot be read here, for whatever reason: one line that says why.

    """
    try:
        first = payload[:1]
        if first < b"\x80":  # with which every pickle begins that pgjobs makes
            if first == b"[" or first == b"{":
                from pgjobs.payload.json_format import load_json

                _check_size(payload)
                return Call(*load_json(payload, task, allow, may_import=pickles or allow is not None))
            if first == b"\0":
                split, step_of, stage_of = _heads()
                head, rest = split(payload)
                call = load(rest, task, allow, pickles=pickles)
                made: Call = stage_of(head, call, allow) if "pipeline" in head else step_of(head, call)
                return made
        if allow is None and pickles:
            try:
                return Call(*pickle.loads(payload))
            except (ImportError, AttributeError):
                # A name that is gone: it may be an alias now. Only then, so that other payloads do not pay for it.
                return Call(*_AliasUnpickler(io.BytesIO(payload)).load())
        return _load_allowed(payload, task, allow if pickles else None)
    except (*RAISED_FROM_OUTSIDE, PayloadError):
        raise
    except BaseException as error:  # modules and objects may raise anything while they are loaded, SystemExit too
        raise PayloadError(_why_not_loaded(error)) from error


@cache
def _heads() -> Any:
    """Return what loads payloads with a head. Few programs do, and an import takes as long as a load each time."""
    from pgjobs.payload.stage import stage_of
    from pgjobs.payload.step import split, step_of

    return split, step_of, stage_of


class _AliasUnpickler(pickle.Unpickler):
    """Finds jobs by their aliases, too."""

    def find_class(self, module: str, name: str, /) -> Any:
        found = find_job(f"{module}:{name}")
        return super().find_class(module, name) if found is None else found


def _load_allowed(payload: bytes, task: str, allow: AllowList | None) -> Call:
    """Load a pickle with an allow-list; with none, there should be no pickles."""
    if allow is None:
        raise NotAllowedError(
            f"the payload of {task} is a pickle, and this worker takes none (--payload json, PGJOBS_PAYLOAD): "
            'declare it with @job(payload="json") and enqueue it again, or let another worker run it.'
        )
    from pgjobs.payload.safe.lookup import may_run  # imported lazily: without a list it is not needed
    from pgjobs.payload.safe.unpickler import loads

    known = may_run(task, allow)
    if not known and ":" in task:
        raise NotAllowedError(not_allowed(task))
    _check_size(payload)
    call = Call(*loads(payload, allow))
    if not known and not may_run(task, allow):  # a name of its own: only now its job is imported
        raise NotAllowedError(not_allowed(task))
    if options_of(call.callable).payload != "pickle":
        raise NotAllowedError(
            f'{task_name(call.callable)} has @job(payload="json") or @subscribe, and this payload is a pickle: enqueue '
            "it again, by its own name."
        )
    return call


def _check_size(payload: bytes) -> None:
    # Not of pickles that may call anything: there a limit would protect nothing, and cost time.
    limit = settings().max_payload
    if len(payload) > limit:
        raise PayloadError(
            f"the payload has {len(payload):,} bytes, and this worker takes {limit:,}: enqueue a reference to the "
            "data, or raise PGJOBS_MAX_PAYLOAD here as well."
        )


def _why_not_loaded(error: BaseException) -> str:
    reason = reason_of(error)
    if isinstance(error, ModuleNotFoundError):
        return (
            f"the payload cannot be loaded: {reason}. Is the code of this job installed where the worker runs, and "
            "at the same version?"
        )
    if isinstance(error, ImportError | AttributeError):
        return (
            f"the payload cannot be loaded: {reason}. Was it moved or renamed after the job was enqueued? Then add "
            "the old name to its aliases=, and start workers with --import."
        )
    if isinstance(error, pickle.UnpicklingError | EOFError | ValueError | IndexError | KeyError | TypeError):
        return f"the payload cannot be loaded, it is damaged or was made by other code: {reason}"
    return f"the payload cannot be loaded: {reason}"


def _dump_by_value(call: CallParts, error: Exception) -> bytes:
    try:
        dumps = by_value(import_module("cloudpickle"))
    except ImportError:
        raise refusal(call, pickle.dumps, error, advice_for(error)) from error
    try:
        return dumps(call, PROTOCOL)
    except Exception as second:
        raise refusal(call, dumps, second, "") from second


@cache
def by_value(cloudpickle: ModuleType) -> Callable[[Any, int], bytes]:
    """Return cloudpickle's `dumps`, for functions and classes: open files are refused, where it would copy them."""
    pickler: Any = cloudpickle.Pickler

    class Pickler(pickler):  # type: ignore[misc]  # cloudpickle has no types
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, io.IOBase):
                raise TypeError(f"cannot pickle '{type(obj).__name__}' object")
            return super().reducer_override(obj)

    def dumps(value: Any, protocol: int) -> bytes:
        with io.BytesIO() as file:
            Pickler(file, protocol).dump(value)
            return file.getvalue()

    return dumps
