"""Payloads that resolve nothing but what an allow-list has.

A pickle names what is to be imported and called while it is loaded. With an allow-list each of these names is looked at
before anything is imported: those on the list, and the plain types of values, are resolved, and nothing else is. What a
list does not do: it says what may be called, not with which arguments. For that there are signatures.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from functools import partial
from types import MethodType, ModuleType
from typing import Any

from pgjobs.allow import AllowList, not_allowed
from pgjobs.errors import NotAllowedError
from pgjobs.job import Job

_PATHS = frozenset({"PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"})

# Types of values: calling them with whatever arguments makes a value, and does nothing else.
_VALUES: dict[str, frozenset[str]] = {
    "builtins": frozenset(
        {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "range", "set", "slice"}
        | {"str", "tuple"}
    ),
    "collections": frozenset({"ChainMap", "Counter", "OrderedDict", "defaultdict", "deque"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "functools": frozenset({"partial"}),
    "ipaddress": frozenset(
        {"IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network"}
    ),
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,  # Python 3.13
    "pgjobs.job": frozenset({"_with_options"}),
    "uuid": frozenset({"SafeUUID", "UUID"}),
    "zoneinfo": frozenset({"ZoneInfo"}),
}


def loads(payload: bytes, allow: AllowList) -> Any:
    """Load a pickle that uses nothing but what is allowed, and plain values.

    Raises:
        NotAllowedError: it wants something else. Other exceptions are those of `pickle.loads`.

    """
    return _Unpickler(payload, allow).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, payload: bytes, allow: AllowList) -> None:
        super().__init__(io.BytesIO(payload))
        self._allow = allow

    def find_class(self, module: str, name: str, /) -> Any:
        if name in _VALUES.get(module, ()):
            return super().find_class(module, name)
        if (module, name) == ("builtins", "getattr"):
            return partial(_bound, self._allow)
        if not self._allow.permits(module, name):
            raise NotAllowedError(not_allowed(f"{module}:{name}"))
        found = super().find_class(module, name)
        # A module also has what it imported: `shop.tasks:os.system` is not the shop's.
        if isinstance(found, ModuleType) or not is_permitted(found, self._allow):
            raise NotAllowedError(
                f"{module}:{name} is not defined there, it belongs to {home_of(found)}, which this worker may not use: "
                "add that to --allow (PGJOBS_ALLOW), if it should be."
            )
        return found


def is_permitted(found: Any, allow: AllowList) -> bool:
    """Say whether an object is defined where the list allows it, by its own words."""
    module, _, name = home_of(found).partition(":")
    return allow.permits(module, name)


def home_of(found: Any) -> str:
    """Give `module:qualname` of what was found by another name, perhaps."""
    if isinstance(found, ModuleType):
        return f"{found.__name__}:"
    named = found if hasattr(found, "__qualname__") else type(found)
    return f"{getattr(named, '__module__', None)}:{named.__qualname__}"


def _bound(allow: AllowList, owner: Any, name: str) -> Callable[..., Any]:
    """Do what `getattr` does in pickles of methods, for methods of allowed objects."""
    kind = owner if isinstance(owner, type) else type(owner)
    home = home_of(kind)
    if home == "zoneinfo:ZoneInfo" and name == "_unpickle":  # how time zones are pickled
        found: Callable[..., Any] = getattr(owner, name)
        return found
    if not name.startswith("_") and is_permitted(kind, allow):
        found = getattr(owner, name)
        if isinstance(found, MethodType | Job) and is_permitted(found, allow):
            return found
    raise NotAllowedError(not_allowed(f"{home}.{name}"))
