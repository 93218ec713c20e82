"""What a worker may call: an allow-list of names. See `unpickle` for how it is held."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr

_PATTERN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(\.\*|:[^\W\d]\w*(\.[^\W\d]\w*)*)?")


@dataclass(frozen=True, slots=True)
class AllowList:
    """Which callables and classes may be used.

    A pattern is `shop.tasks` (all that this module defines), `shop.*` (all that the package `shop` and what lies below
    it define) or `shop.tasks:send` (this one and, if it is a class, what belongs to it).

    Raises:
        UsageError: a pattern has another form.

    """

    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
                raise UsageError(
                    f"allow: {shorten_repr(pattern)} cannot be used: give MODULE, PACKAGE.* or MODULE:NAME, such as "
                    "shop.*."
                )

    def permits(self, module: str, name: str) -> bool:
        """Return True if the name is on the list."""
        return any(_matches(pattern, module, name) for pattern in self.patterns)

    def permits_task(self, task: str) -> bool:
        """Return True if the name of a task is on the list."""
        module, _, name = task.partition(":")
        return self.permits(module, name)

    def permits_module(self, module: str) -> bool:
        """Return True if something of the module is on the list, so that it may be imported."""
        return any(_matches(pattern.partition(":")[0], module, "") for pattern in self.patterns)


def _matches(pattern: str, module: str, name: str) -> bool:
    if pattern.endswith(".*"):
        package = pattern[:-2]
        return module == package or module.startswith(f"{package}.")
    wanted_module, colon, wanted = pattern.partition(":")
    return module == wanted_module and (not colon or name == wanted or name.startswith(f"{wanted}."))


def not_allowed(what: str) -> str:
    """Return the message for what may not be used, with the next step."""
    return f"{what} may not be used by this worker: add it to --allow (PGJOBS_ALLOW), if it should be."


def parse_allow(texts: Iterable[str]) -> AllowList:
    """Read patterns, each of which may be several that are separated by commas.

    Raises:
        UsageError: one of them cannot be used, or there are no patterns: then every job would be refused.

    """
    patterns = tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
    if not patterns:
        raise UsageError("allow has no pattern, so no job could run: give one, such as shop.*, or leave it out.")
    return AllowList(patterns)
