"""Payloads that resolve, call and change nothing but what an allow-list has.

A pickle is a program: it names what is to be imported, calls it, and sets attributes and items of what lies on its
stack. With an allow-list each of these steps is looked at before it is taken:

- A name is resolved if it is on the list, or a plain type of values (see `value_types`).
- Called is what was resolved so; a type of values only with the arguments that `pickle` itself gives it.
- Changed is what this payload has made, and nothing else refers to: never a class, a function, a job, or what was found
  in a module, for others use that too.

What a list does not do: it says what may be called, not with which arguments, nor how much memory or time it takes. For
that there are signatures, and child processes with a limit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import EnumMeta
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

from pgjobs.core.allowlist import AllowList, not_allowed
from pgjobs.core.callables import unwrap
from pgjobs.core.errors import NotAllowedError, PayloadError
from pgjobs.core.text import shorten_repr
from pgjobs.jobs.job import Job
from pgjobs.jobs.registry import find_job, import_job
from pgjobs.payload.safe.lookup import find, home_of, is_dunder, is_permitted
from pgjobs.payload.safe.machine import Machine
from pgjobs.payload.safe.value_types import VALUES, Check, is_partial_state, is_uuid_state, is_zone

_NEVER_CHANGED = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, Job)
_STATE_NAMES = frozenset({"__notes__"})  # those of Python's own that an object may have in its state

_Args: TypeAlias = tuple[Any, ...]


def loads(payload: bytes, allow: AllowList) -> tuple[Any, Any, Any]:
    """Load a pickle of `(callable, args, kwargs)` that uses nothing but what is allowed, and plain values.

    Raises:
        NotAllowedError: it wants something else, or what it wants to be called is not on the list.
        Others: those of `pickle.loads`.

    """
    whole = _Unpickler(payload, allow).load()
    if type(whole) is not tuple or len(whole) != 3 or type(whole[1]) is not tuple or type(whole[2]) is not dict:
        raise PayloadError("the payload cannot be loaded: it is not a callable with its arguments.")
    if any(type(name) is not str for name in whole[2]):
        raise PayloadError("the payload cannot be loaded: the name of an argument is not a string.")
    called = unwrap(whole[0], methods=False).function
    if not is_permitted(called, allow):  # a type of values, for example
        raise NotAllowedError(not_allowed(home_of(called)))
    return whole


def loads_value(pickled: bytes, allow: AllowList) -> Any:
    """Load a pickle of any value that uses nothing but what is allowed, and plain values.

    Raises:
        NotAllowedError: it wants something else.
        Others: those of `pickle.loads`.

    """
    return _Unpickler(pickled, allow).load()


class _Mark:
    """What stands on the stack for a function that is not handed out: only the payload can call it."""

    __slots__ = ()


_GETATTR, _WITH_OPTIONS, _BY_NAME = _Mark(), _Mark(), _Mark()
_MARKS = {
    ("builtins", "getattr"): _GETATTR,
    ("pgjobs", "job_with_options"): _WITH_OPTIONS,
    ("pgjobs", "job_by_name"): _BY_NAME,
}


def _permitted(_: _Args) -> bool:
    """Check for names on the allow-list: any arguments may be passed."""
    return True


class _Unpickler(Machine):
    def __init__(self, payload: bytes, allow: AllowList) -> None:
        super().__init__(payload)
        self._allow = allow
        # By identity: what may be called, and with what. The objects are in there too, so that their ids stay theirs.
        self._callable: dict[int, tuple[object, Check]] = {}

    # -- names -------------------------------------------------------------------------------------------------------

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name, if it may be."""
        check = VALUES.get(module, {}).get(name)
        if check is not None:
            return self._may_call(find(module, name, _never), check)
        mark = _MARKS.get((module, name))
        if mark is not None:
            return self._may_call(mark, _permitted)
        job = find_job(f"{module}:{name}")  # by an alias
        if job is not None and is_permitted(job, self._allow):
            return self._may_call(job, _permitted)
        if not self._allow.permits(module, name):
            raise NotAllowedError(not_allowed(f"{module}:{name}"))
        found = find(module, name, lambda owner, _: is_permitted(owner, self._allow))
        # A module also has what it imported: `shop.tasks:os.system` is not the shop's.
        if isinstance(found, ModuleType) or not is_permitted(found, self._allow):
            raise NotAllowedError(
                f"{module}:{name} is not defined there, it belongs to {home_of(found)}, which this worker may not use: "
                "add that to --allow (PGJOBS_ALLOW), if it should be."
            )
        return self._may_call(found, _permitted)

    def _may_call(self, found: Any, check: Check) -> Any:
        self._callable[id(found)] = (found, check)
        return found

    def _by_name(self, name: Any, module: Any) -> Job[..., Any]:
        """Do what `job_by_name` does, without an import of what is not on the list."""
        if type(name) is not str or type(module) is not str:
            raise NotAllowedError("the payload wants a job by a name that is not a string.")
        found = find_job(name)
        if found is None:
            if not self._allow.permits_module(module):
                raise NotAllowedError(not_allowed(module))
            found = import_job(name, module)
        if not is_permitted(found, self._allow):
            raise NotAllowedError(not_allowed(home_of(found)))
        return found

    def _attribute(self, owner: Any, name: Any) -> Any:
        """Do what `getattr` does in pickles: for methods, members of an Enum, and time zones."""
        kind: Any = owner if isinstance(owner, type) else type(owner)
        home = home_of(kind)
        if type(name) is str and home == "zoneinfo:ZoneInfo" and name == "_unpickle" and owner is kind:
            return self._may_call(owner._unpickle, is_zone)
        if type(name) is str and not name.startswith("_") and is_permitted(kind, self._allow):
            if isinstance(owner, EnumMeta) and name in owner.__members__:
                return owner.__members__[name]
            found = getattr(owner, name)
            if isinstance(found, MethodType | Job) and is_permitted(found, self._allow):
                return self._may_call(found, _permitted)
        raise NotAllowedError(not_allowed(f"{home}.{shorten_repr(name)}"))

    # -- calls -------------------------------------------------------------------------------------------------------

    def call(self, function: Any, args: Any) -> Any:
        """Call what was resolved, and nothing else that may lie on the stack."""
        known = self._callable.get(id(function))
        if known is None or type(args) is not tuple:
            raise NotAllowedError(f"the payload wants to call a {home_of(type(function))}, which no list can allow.")
        if known[1] is not _permitted:
            if not known[1](args):
                raise NotAllowedError(f"the payload wants to call {home_of(function)} in a way that pickle does not.")
            return self.own(function(*args))
        if function is _GETATTR:
            return self._attribute(*args)
        if function is _BY_NAME:
            return self._may_call(self._by_name(*args), _permitted)
        if function is _WITH_OPTIONS:
            return _with_options(*args)
        if isinstance(function, type):
            _check_makes_no_class(function, args)
        elif isinstance(function, Job):  # its worker runs it, with its timeout
            raise NotAllowedError(f"the payload wants to run {home_of(function)} while it is loaded.")
        return self._keep(function, *_make(function, args, {}))

    def new(self, kind: Any, args: Any, kwargs: Any) -> Any:
        """Make an object of a permitted class, or an empty UUID, without `__init__`."""
        known = self._callable.get(id(kind))
        if known is None or not isinstance(kind, type) or type(args) is not tuple or type(kwargs) is not dict:
            raise NotAllowedError(f"the payload wants to make an object of a {home_of(type(kind))}.")
        if home_of(kind) == "uuid:UUID" and not args and not kwargs:
            return self.own(object.__new__(kind))
        if known[1] is not _permitted:
            raise NotAllowedError(f"the payload wants to make a {home_of(kind)} in a way that pickle does not.")
        _check_makes_no_class(kind, args)
        return self._keep(kind, *_make(kind.__new__, (kind, *args), kwargs))

    def _keep(self, maker: Any, made: Any, holders: int) -> Any:
        """Note a new object that nothing else refers to: it may be given its state and its items."""
        if isinstance(made, tuple):
            self.measure(made)
        if not isinstance(made, _NEVER_CHANGED) and (_makes_new_ones(maker) or holders <= _ALONE):
            self.own(made)
        return made

    # -- state -------------------------------------------------------------------------------------------------------

    def set_state(self, target: Any, state: Any) -> None:
        """Do what BUILD does, for a permitted class, a partial, or a UUID."""
        kind = type(target)
        if issubclass(kind, partial):
            fine = is_partial_state(state, target.func)
        elif home_of(kind) == "uuid:UUID":
            fine = is_uuid_state(state)
        else:
            fine = is_permitted(kind, self._allow)
        if not fine:
            raise NotAllowedError(f"the payload wants to give a {home_of(kind)} a state that pickle does not.")
        _set_state(target, kind, state)


def _never(_: type, __: str) -> bool:
    return False


def _with_options(job: Any, changes: Any) -> Any:
    if not isinstance(job, Job) or type(changes) is not dict:
        raise NotAllowedError("the payload wants to change the options of what is not a job.")
    return job.options(**changes)


def _make(make: Callable[..., Any], args: _Args, kwargs: dict[str, Any]) -> tuple[Any, int]:
    """Return the result and its reference count."""
    made = make(*args, **kwargs)
    return made, sys.getrefcount(made)


_ALONE = _make(object, (), {})[1]  # the count if nothing else refers to it


def _makes_new_ones(maker: Any) -> bool:
    """Return True if each call gives a new object, for sure: a class whose `__new__` is that of a built-in type.

    Others may give one that is there already: a member of an Enum, or one out of a cache.
    """
    if not isinstance(maker, type) or type(maker).__call__ is not type.__call__:
        return False
    new = maker.__new__
    return isinstance(new, BuiltinFunctionType) and getattr(new.__self__, "__module__", None) == "builtins"


def _check_makes_no_class(kind: type, args: _Args) -> None:
    if issubclass(kind, type) or (isinstance(kind, EnumMeta) and len(args) != 1):
        raise NotAllowedError(f"the payload wants to make a class, by {home_of(kind)}, which no list can allow.")


def _set_state(target: Any, kind: type, state: Any) -> None:
    """Set no attribute of Python's own, such as `__class__` or `__reduce__`, which no state has that `pickle` wrote."""
    own: Any = getattr(kind, "__setstate__", None)
    if own is not None:
        if not isinstance(own, FunctionType):  # in C, as that of exceptions: it sets whatever it is given
            _check_names(state)
        own(target, state)
        return
    values, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
    if not all(part is None or type(part) is dict for part in (values, slots)):
        raise TypeError(f"the state of a {home_of(kind)} is not a dict")
    _check_names((values, slots))
    if values:
        target.__dict__.update(values)
    for name, value in (slots or {}).items():
        setattr(target, name, value)


def _check_names(state: Any) -> None:
    for part in tuple.__iter__(state) if isinstance(state, tuple) else (state,):
        if isinstance(part, dict):
            for name in dict.__iter__(part):
                if type(name) is not str or (is_dunder(name) and name not in _STATE_NAMES):
                    raise NotAllowedError(f"the payload wants to set {shorten_repr(name)} of an object.")
