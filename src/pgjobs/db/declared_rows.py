"""Writes what code declares as rows that belong to its application, and retires those that no code declares.

Which of them one supervisor writes is decided as for schedules: see `schedules/ownership.py`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from pgjobs.db.encoding import encoding_of
from pgjobs.db.statements import statement

if TYPE_CHECKING:
    import psycopg

    Cursor = psycopg.Cursor[dict[str, Any]]

log = logging.getLogger("pgjobs.scheduler")


class OwnedRow(Protocol):
    """What is stored of one of them."""

    @property
    def app(self) -> str:
        """The application that it belongs to."""
        ...

    def digest(self) -> bytes:
        """Return what differs between two declarations."""
        ...


R = TypeVar("R", bound=OwnedRow)


@dataclass
class DeclaredRows(Generic[R]):
    """What the code of one supervisor declares of one kind, by name.

    `kind`: the column of `schedule_owners`; `noun`: one of them. `locking`, `retiring` and `purging` name statements.
    """

    kind: ClassVar[str]
    noun: ClassVar[str]
    locking: ClassVar[str]
    retiring: ClassVar[str]
    purging: ClassVar[str]

    declared: dict[str, R]
    _complained: set[str] = field(default_factory=set, compare=False)

    def store(self, cursor: Cursor, declared: R, digest: bytes) -> str | None:
        """Write one, and return what the log says of it; None: the database lacks a character of it."""
        raise NotImplementedError

    def write(self, cursor: Cursor, names: set[str]) -> None:
        """Write these of them, which this supervisor decides about."""
        if not names:
            return
        rows = cursor.execute(statement(self.locking), {"names": sorted(names)}).fetchall()
        there = {row["name"]: row for row in rows}
        for name in sorted(names):  # in one order, so that supervisors do not deadlock
            declared, row = self.declared[name], there.get(name)
            if row is not None and row["app"] != declared.app:
                self._complain(name, f"{declared.app}: the application {row['app']} has one of that name; rename it")
                continue
            digest = declared.digest()
            if row is not None and row["digest"] == digest and row["retired_at"] is None:
                continue
            stored = self.store(cursor, declared, digest)
            if stored is None:
                lacking = encoding_of(cursor.connection).database
                self._complain(name, f"{declared.app}: it has a character that the database lacks ({lacking})")
            else:
                log.info("%s %s: %s", self.noun, name, stored)

    def retire(self, cursor: Cursor, kept: set[str]) -> None:
        """Retire all, of any supervisor, but these."""
        cursor.execute(statement(self.retiring), {"kept": sorted(kept)})
        for row in cursor.fetchall():
            log.info("%s %s is no longer in the code of %s: it is retired", self.noun, row["name"], row["app"])
        cursor.execute(statement(self.purging))

    def _complain(self, name: str, reason: str) -> None:
        if name not in self._complained:
            self._complained.add(name)
            log.error("%s %s is not written, of %s", self.noun, name, reason)
