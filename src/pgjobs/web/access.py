"""Users of the dashboard, and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pgjobs.core.errors import UsageError
from pgjobs.core.text import one_line, shorten_repr

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

VERBS = ("pause", "retry", "run", "cancel", "discard", "change", "limit")
"""The rights. Each user may look; each of these is needed for the actions of its kind."""
ALL = frozenset(VERBS)
MAX_NAME = 200  # characters


@dataclass(frozen=True, slots=True)
class User:
    """A user of the dashboard, who may look at all of it.

    `name`: is written to the audit with all that they do. `may`: some of `VERBS`, or `ALL`; default: only look.

    Raises:
        UsageError: the name is empty, or there is no such right.

    """

    name: str
    may: Collection[str] = field(default=frozenset())

    def __post_init__(self) -> None:
        name = one_line(self.name)[:MAX_NAME] if isinstance(self.name, str) else ""
        if not name:
            raise UsageError(f"name={shorten_repr(self.name)}: give the name of the user as a text.")
        may = {self.may} if isinstance(self.may, str) else {*self.may}
        if unknown := sorted(map(str, may - ALL)):
            raise UsageError(f"may has {shorten_repr(unknown[0])}: give some of {', '.join(VERBS)}, or ALL.")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "may", frozenset(may))


Answer: TypeAlias = "User | Response | None"
"""A user; a response, such as a redirect to a login; or None: they may not look."""
Authorize: TypeAlias = "Callable[[Request], Answer | Awaitable[Answer]]"
