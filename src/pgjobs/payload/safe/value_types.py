"""The plain types of values: which of them a pickle may name, and with which arguments it may make one.

`pickle` writes each of them in one way, and what it does not write is refused: some calls take forever
(`list(range(10**12))`), some import something (`str(b"x", "idna")`), and no payload needs them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta, tzinfo
from types import NoneType
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[tuple[Any, ...]], bool]

_FRACTION = re.compile(r"-?[0-9]+(/[0-9]+)?")
_MAX_BITS = 20_000  # bits; reducing a fraction takes time that grows with the square of them
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def never(_: tuple[Any, ...]) -> bool:
    """Refuse all calls: the type may be named, as an argument is, or as what a `defaultdict` makes."""
    return False


def _of(*kinds: type | tuple[type, ...], least: int | None = None) -> Check:
    """Take arguments of exactly these types; `least`: how many of them are required (default: all)."""
    sets = [frozenset(kind if isinstance(kind, tuple) else (kind,)) for kind in kinds]
    fewest = len(sets) if least is None else least

    def check(args: tuple[Any, ...]) -> bool:
        return fewest <= len(args) <= len(sets) and all(
            type(arg) in kinds for arg, kinds in zip(args, sets, strict=False)
        )

    return check


def _deque(args: tuple[Any, ...]) -> bool:
    return not args or (args[0] == () and _of(tuple, (int, NoneType), least=1)(args))


def _defaultdict(args: tuple[Any, ...]) -> bool:
    return len(args) <= 1 and all(arg is None or callable(arg) for arg in args)


def _with_zone(args: tuple[Any, ...]) -> bool:
    return _of(bytes)(args[:1]) and len(args) <= 2 and all(isinstance(arg, tzinfo) for arg in args[1:])


def _fraction(args: tuple[Any, ...]) -> bool:
    if _of(int, int)(args):  # Python 3.12
        return all(arg.bit_length() <= _MAX_BITS for arg in args)
    return _of(str)(args) and _FRACTION.fullmatch(args[0]) is not None


def _partial(args: tuple[Any, ...]) -> bool:
    return len(args) == 1 and callable(args[0])


def _path(args: tuple[Any, ...]) -> bool:
    return all(type(arg) is str for arg in args)


def is_zone(args: tuple[Any, ...]) -> bool:
    """Return True if `ZoneInfo._unpickle` may be called so."""
    return _of(str, (int, bool))(args) and _ZONE.fullmatch(args[0]) is not None


def is_uuid_state(state: object) -> bool:
    """Return True if a UUID may be given this state."""
    return (
        type(state) is dict
        and state.keys() <= {"int", "is_safe"}
        and type(state.get("int")) is int
        and 0 <= state["int"] < 1 << 128
        and type(state.get("is_safe")) in (int, NoneType)
    )


def is_partial_state(state: object, func: object) -> bool:
    """Return True if a partial of `func` may be given this state: arguments alone, no other function, no attributes."""
    return (
        type(state) is tuple
        and len(state) == 4
        and state[0] is func
        and type(state[1]) is tuple
        and (state[2] is None or (type(state[2]) is dict and all(type(key) is str for key in state[2])))
        and not state[3]
    )


_ADDRESS = _of((int, str))
_PATHS: dict[str, Check] = dict.fromkeys(
    ("PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"), _path
)
_SCALAR = (NoneType, int, str)

VALUES: dict[str, dict[str, Check]] = {
    "builtins": {
        **dict.fromkeys(("bool", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"), never),
        "bytearray": _of(bytes, least=0),
        "complex": _of(float, float),
        "range": _of(int, int, int),
        "slice": _of(_SCALAR, _SCALAR, _SCALAR),
    },
    "collections": {
        "Counter": _of(dict),
        "OrderedDict": _of(),
        "defaultdict": _defaultdict,
        "deque": _deque,
    },
    "datetime": {
        "date": _of(bytes),
        "datetime": _with_zone,
        "time": _with_zone,
        "timedelta": _of(int, int, int),
        "timezone": _of(timedelta, str, least=1),
    },
    "decimal": {"Decimal": _of(str)},
    "fractions": {"Fraction": _fraction},
    "functools": {"partial": _partial},
    "ipaddress": dict.fromkeys(
        ("IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network"), _ADDRESS
    ),
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,  # Python 3.13
    "uuid": {"UUID": never},  # made without a call, see `unpickle`
    "zoneinfo": {"ZoneInfo": never},  # made by its `_unpickle`
}
