"""Which tasks are paused, as a producer knows it: a pure decision."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pgjobs.jobs.registry import names_of_task


class PausedTasks:
    """`rows`: what is paused (a task, a module or a glob), and the LIKE patterns that it stands for."""

    def __init__(self, rows: Iterable[tuple[str, Iterable[str]]] = ()) -> None:
        self._paused = [(name, re.compile("|".join(map(_regex, patterns)), re.DOTALL)) for name, patterns in rows]
        self._known: dict[str, str | None] = {}

    def __bool__(self) -> bool:
        return bool(self._paused)

    def pause_of(self, task: str) -> str | None:
        """Return what pauses a task, by its name or by an alias of its job; None: nothing does."""
        try:
            return self._known[task]
        except KeyError:
            names = names_of_task(task)
            found = next((name for name, regex in self._paused if any(map(regex.fullmatch, names))), None)
            self._known[task] = found
            return found


def _regex(pattern: str) -> str:
    r"""Write a LIKE pattern as a regular expression.

    >>> _regex(r"a\_b%")
    'a_b.*'

    """
    out, characters = [], iter(pattern)
    for character in characters:
        match character:
            case "\\":
                out.append(re.escape(next(characters, "\\")))
            case "%":
                out.append(".*")
            case "_":
                out.append(".")
            case _:
                out.append(re.escape(character))
    return "".join(out)
