"""Where the arguments of a step have what stands for results, and how values are put there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pgjobs.payload.summary import StandsFor

MAX_DEPTH = 4  # of lists, tuples and dicts in which results are looked for
_PLAIN = frozenset({int, str, float, bool, bytes, type(None)})


class Place(NamedTuple):
    """A place among arguments: the way to it, by position or name first, and what is there."""

    way: tuple[int | str, ...]
    value: Any


def places_of(args: tuple[Any, ...], kwargs: Mapping[str, Any], kind: type) -> list[Place]:
    """Return where values of a type are, in the arguments and in lists, tuples and dicts among them."""
    found: list[Place] = []
    given: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    for way, value in given:
        if type(value) not in _PLAIN:
            _look((way,), value, kind, found)
    return found


def _look(way: tuple[int | str, ...], value: Any, kind: type, found: list[Place]) -> None:
    if type(value) is kind:
        found.append(Place(way, value))
    elif len(way) <= MAX_DEPTH:
        if type(value) is list or type(value) is tuple:
            for index, item in enumerate(value):
                if type(item) not in _PLAIN:
                    _look((*way, index), item, kind, found)
        elif type(value) is dict:
            for key, item in value.items():
                if type(item) not in _PLAIN and (type(key) is str or type(key) is int):
                    _look((*way, key), item, kind, found)


def without_results(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], places: list[Place]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with None in these places. What was given stays as it is."""
    return with_values(args, kwargs, [(place.way, None) for place in places])


def as_shown(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], places: list[Place]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments as a summary shows them."""
    return with_values(args, kwargs, [(place.way, StandsFor(repr(place.value))) for place in places])


def with_values(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], values: list[tuple[tuple[int | str, ...], Any]]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with values put into places.

    >>> with_values((1, [2, 3]), {"a": {"b": 4}}, [((1, 0), "two"), (("a", "b"), "four")])
    ((1, ['two', 3]), {'a': {'b': 'four'}})

    """
    changed, named = list(args), dict(kwargs)
    for way, value in values:
        first = way[0]
        if isinstance(first, int):
            changed[first] = _put(changed[first], way[1:], value)
        else:
            named[first] = _put(named[first], way[1:], value)
    return tuple(changed), named


def _put(container: Any, way: tuple[int | str, ...], value: Any) -> Any:
    if not way:
        return value
    copy: Any = dict(container) if isinstance(container, dict) else list(container)
    copy[way[0]] = _put(copy[way[0]], way[1:], value)
    finish: Callable[[Any], Any] = tuple if isinstance(container, tuple) else lambda made: made
    return finish(copy)
