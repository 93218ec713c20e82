"""Which dead letters have the same cause, as far as their errors say: a pure decision."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgjobs.admin import DeadLetter

MAX_COMPARED = 160  # characters of an error
# What differs between two errors of one cause: addresses, ids, numbers, and what stands in quotes.
_DIFFERS = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|'[^']*'|\"[^\"]*\"|\d+(?:[.,:]\d+)*")


@dataclass
class Group:
    """Letters of one queue and task, with errors that are alike. `letters`: the newest first."""

    queue: str
    task: str
    alike: str
    letters: list[DeadLetter] = field(default_factory=list)


def alike(error: str | None) -> str:
    """Return what errors of one cause have in common.

    >>> alike("KeyError: 'ada' at 0x7f3a"), alike("Timeout: order 42 took 3.5 s"), alike(None)
    ("KeyError: '…' at #", 'Timeout: order # took # s', '(no error)')

    """
    if not error:
        return "(no error)"
    return _DIFFERS.sub(lambda found: "'…'" if found[0][0] in "'\"" else "#", error)[:MAX_COMPARED].strip()


def group_letters(letters: Iterable[DeadLetter]) -> list[Group]:
    """Return the groups, the largest first."""
    groups: dict[tuple[str, str, str], Group] = {}
    for letter in letters:
        key = (letter.queue, letter.task, alike(letter.error))
        groups.setdefault(key, Group(*key)).letters.append(letter)
    return sorted(groups.values(), key=lambda group: -len(group.letters))
