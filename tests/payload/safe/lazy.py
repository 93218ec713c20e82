"""A module that does something when it is asked for a name, as those do that import lazily."""

from __future__ import annotations

asked: list[str] = []


class Box:
    """Has the methods by which pickles fill containers."""

    def note(self, *_: object) -> None:
        asked.append("note")

    add = append = extend = __setitem__ = note


def __getattr__(name: str) -> object:
    asked.append(name)
    raise AttributeError(name)
