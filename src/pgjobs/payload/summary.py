"""A short readable form of a call for `jobs.summary`: `send_receipt(42, copy=True)`.

It is a help for people and may never get in the way: it does not fail, its work is bounded whatever the arguments
are, and nothing of the caller's runs for it. That last point is why objects are shown by their class, not by their
own `__repr__`, which may be slow, ask the database, or print a password; dataclasses and named tuples are shown with
their fields. What is named like a secret is shown as `***`. What we add is ASCII, because not every database has more.
"""

from __future__ import annotations

import functools
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date, datetime, time, timedelta
from enum import Enum
from itertools import islice
from types import FunctionType, MemberDescriptorType
from typing import Any

from pgjobs.core.callables import parameters_of, unwrap
from pgjobs.core.text import MAX_SUMMARY, shorten

MASK = "***"
MAX_TEXT = 60  # characters of one string
ITEMS = 8  # items of one collection
_DEPTH = 3  # collections in collections
_MAX_DIGITS_SHOWN = 10**60  # number that is shown with all its digits

_PLAIN = frozenset({bool, type(None), float, complex, date, timedelta, range, slice})
_SEQUENCES: dict[type, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}
_MAPPINGS = frozenset({dict, OrderedDict, defaultdict})
_SECRET = re.compile(
    # in any place of a name …
    "passwor[dt]|passwd|passphrase|passcode|secret|token|credential|authori[sz]ation|cookie|signature|"
    "(?:api|private|access|session|signing|encryption|auth|ssh|secret)_?key|"
    # … and as a word of it
    r"(?:^|_)(?:pwd|pw|pass|pin|otp|totp|auth|jwt|cvv|cvc|ssn|bearer|key_?file|session_?id|sid)(?:_|\d*$)"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Summarizer:
    """Makes the summaries of one callable's calls; what depends on the callable alone is looked at once."""

    __slots__ = ("_args", "_kwargs", "_names", "_secret", "name", "shows_all")

    def __init__(self, callable: Callable[..., Any]) -> None:
        inner, self._args, self._kwargs = unwrap(callable, methods=False)
        self.name = _name_of(inner)
        parameters = parameters_of(inner)
        self._secret = frozenset(i for i, name in enumerate(parameters.positional) if is_secret(name))
        """The positions of the arguments that are not shown."""
        self._names = len(parameters.positional) if parameters.rest and is_secret(parameters.rest) else None
        """From which position on all are secret (`*tokens`)."""
        if parameters.unsure_from is not None and any(map(is_secret, parameters.names or ())):
            self._names = parameters.unsure_from
        self.shows_all = not (self._args or self._kwargs or self._secret) and self._names is None
        """Whether a summary is the name and the arguments by position as they are given, and nothing else."""

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        """Return the summary of a call, in one line of 200 characters at most; it never raises."""
        try:
            if self._args or self._kwargs:
                args, kwargs = self._args + args, {**self._kwargs, **kwargs}
            if self._secret or self._names is not None:
                shown = [MASK if self._is_masked(i) else _shown(value) for i, value in enumerate(args[:MAX_SUMMARY])]
            else:
                shown = [_shown(value) for value in args[:MAX_SUMMARY]]
            for key, value in islice(kwargs.items(), MAX_SUMMARY):
                shown.append(f"{key}={MASK if is_secret(key) else _shown(value)}")
            return _line(f"{self.name}({', '.join(shown)})")
        except Exception:  # nothing here is expected to raise, but a job is worth more than its summary
            return _line(f"{self.name}(...)")

    def _is_masked(self, position: int) -> bool:
        return position in self._secret or (self._names is not None and position >= self._names)


class StandsFor:
    """Is shown as its text: what is not known yet, such as the result of another step."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


@functools.lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return _SECRET.search(_CAMEL.sub("_", name).replace("-", "_").lower()) is not None


def is_secret(name: str) -> bool:
    """Return True if something of this name is better not shown: `password`, `api_key`, `authToken`, `X-Api-Key`."""
    return _is_secret(name[:100])


def _name_of(callable: Any) -> str:
    name = getattr(callable, "__qualname__", None) or type(callable).__qualname__
    return _line(str(name).rpartition("<locals>.")[2])


def _line(text: str) -> str:
    text = shorten(text)
    if text.isprintable():
        return text
    # Only names get here; values have been through repr(). NUL and lone surrogates are not printable either.
    return _line("".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text))


def _shown(value: Any, depth: int = 0) -> str:
    kind = type(value)
    if kind is int:
        return (
            repr(value) if -_MAX_DIGITS_SHOWN < value < _MAX_DIGITS_SHOWN else f"<int of {value.bit_length():,} bits>"
        )
    if kind is str:
        return repr(value) if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]!r}..."
    if kind in _PLAIN:
        return repr(value)
    if kind in _SEQUENCES:
        return _collection(value, _SEQUENCES[kind], depth)
    if kind in _MAPPINGS:
        return _mapping(value, depth)
    return _object(value, kind, depth)


def _collection(value: Any, brackets: str, depth: int) -> str:
    if depth >= _DEPTH:
        return f"{brackets[0]}...{brackets[1]}" if value else brackets
    items = [_shown(item, depth + 1) for item in islice(value, ITEMS)]
    if len(value) > ITEMS:
        items.append(f"... {len(value) - ITEMS:,} more")
    comma = "," if brackets == "()" and len(items) == 1 else ""
    return f"{brackets[0]}{', '.join(items)}{comma}{brackets[1]}"


def _mapping(value: dict[Any, Any], depth: int) -> str:
    if depth >= _DEPTH:
        return "{...}" if value else "{}"
    items = []
    for key, item in islice(value.items(), ITEMS):
        secret = type(key) is str and is_secret(key)
        items.append(f"{_shown(key, depth + 1)}: {MASK if secret else _shown(item, depth + 1)}")
    if len(value) > ITEMS:
        items.append(f"... {len(value) - ITEMS:,} more")
    return f"{{{', '.join(items)}}}"


def _object(value: Any, kind: type, depth: int) -> str:
    """Show what is left without running code of its class: no `__repr__`, no properties, no `__getattr__`."""
    if issubclass(kind, Enum):
        return f"{kind.__name__}.{value.__dict__.get('_name_')}"
    if issubclass(kind, str):
        return _shown(str.__getitem__(value, slice(MAX_TEXT + 1)))
    if kind is bytes or kind is bytearray:
        return repr(value) if len(value) <= MAX_TEXT // 3 else f"<{kind.__name__}, {len(value):,} bytes>"
    if kind is StandsFor:
        return str(value.text)
    origin = kind.__module__.partition(".")[0]  # these modules are known by name, so as not to be imported for this
    if origin == "uuid" or (origin in ("decimal", "_decimal") and value.__sizeof__() < 200):
        return str(value)
    if kind is datetime or kind is time:  # a time zone can be of any class
        known = value.tzinfo is None or type(value.tzinfo).__module__ in ("datetime", "zoneinfo")
        return value.isoformat() if known else f"<{kind.__name__}>"
    if origin == "pathlib":
        return _shown(str(value))
    if kind is FunctionType or kind is type:
        return _name_of(value)
    names = getattr(kind, "_fields", None) if issubclass(kind, tuple) else None
    if names:
        return _fields(kind, zip(names, tuple.__iter__(value), strict=False), depth)
    if "__dataclass_fields__" in kind.__dict__:
        shown = [field.name for field in fields(kind) if field.repr]  # type: ignore[arg-type]  # it has just been looked for
        return _fields(kind, ((name, _stored(value, kind, name)) for name in shown), depth)
    return f"<{kind.__name__}>"


def _fields(kind: type, pairs: Any, depth: int) -> str:
    if depth >= _DEPTH:
        return f"{kind.__name__}(...)"
    shown = [f"{k}={MASK if is_secret(k) else _shown(v, depth + 1)}" for k, v in islice(pairs, ITEMS)]
    return f"{kind.__name__}({', '.join(shown)})"


def _stored(value: Any, kind: type, name: str) -> Any:
    """Read a field from where it is stored, past properties that could do anything."""
    for base in kind.__mro__:
        slot = base.__dict__.get(name)
        if isinstance(slot, MemberDescriptorType):
            return slot.__get__(value)
    return object.__getattribute__(value, "__dict__").get(name)
