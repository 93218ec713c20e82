"""What an action is: the right that it takes, what it asks for, its preview, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.web.visit import whole

if TYPE_CHECKING:
    import psycopg

MAX_VALUE = 1_000  # characters of a value, unless a field allows more


@dataclass(frozen=True)
class Asked:
    """What an action was asked to do: its target, and what was filled in. `user`: the name of the one that asks."""

    conn: psycopg.Connection[Any]
    values: Mapping[str, str]
    user: str

    def needed(self, name: str) -> str:
        """Return a value.

        Raises:
            UsageError: it is missing.

        """
        value = self.optional(name)
        if value is None:
            raise UsageError(f"{name} is missing.")
        return value

    def optional(self, name: str) -> str | None:
        """Return a value, if it was given."""
        return self.values.get(name) or None

    def id(self, name: str = "id") -> int:
        """Return the id of a row."""
        return whole(name, self.needed(name))

    def number(self, name: str) -> float | None:
        """Return a number, if it was given.

        Raises:
            UsageError: it is not one.

        """
        value = self.optional(name)
        try:
            return None if value is None else float(value)
        except ValueError:
            raise UsageError(f"{name}={shorten_repr(value)}: give a number.") from None

    def flag(self, name: str) -> bool:
        """Return True if a box was ticked."""
        return self.optional(name) is not None


@dataclass(frozen=True)
class Field:
    """What can be filled in. `kind`: text, number, check, area or choice. `longest`: in characters."""

    name: str
    label: str
    kind: str = "text"
    value: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    longest: int = MAX_VALUE


@dataclass(frozen=True)
class Preview:
    """What would happen. `number`: to how many (None: to one thing). `more`: there are more, which are left alone.

    `until`: a value that keeps the action from what is newer than its preview.
    """

    sentence: str
    number: int | None = None
    more: bool = False
    notes: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    until: str | None = None


@dataclass(frozen=True)
class Done:
    """What has happened: to how many, and in one sentence."""

    number: int
    sentence: str


@dataclass(frozen=True)
class Action:
    """`verb`: the right that it takes. `takes`: the names of its target. `back`: the address that is shown next.

    `secret`: fields whose values are not written to the audit, which all who may look can read.
    """

    verb: str
    title: str
    takes: tuple[str, ...]
    preview: Callable[[Asked], Preview]
    run: Callable[[Asked], Done]
    back: str
    fields: tuple[str, ...] = ()
    is_danger: bool = False
    longest: Mapping[str, int] = field(default_factory=dict)
    secret: frozenset[str] = frozenset()
