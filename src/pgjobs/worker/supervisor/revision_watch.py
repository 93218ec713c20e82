"""Whether the tables are still those of this version: if not, the statements of these workers are not for them.

The maintenance thread looks, and the main thread has the workers finish their jobs and leave.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pgjobs.db.revision import find_misfit

if TYPE_CHECKING:
    import psycopg

    from pgjobs.core.errors import SchemaError

log = logging.getLogger("pgjobs.supervisor")


class RevisionWatch:
    """What is known of the revision of the tables. For two threads: one looks, the other asks."""

    def __init__(self) -> None:
        self._misfit: SchemaError | None = None
        self._reported = False

    def look(self, connection: psycopg.Connection) -> bool:
        """Return True if the tables are those of another version; once found, it is not looked for again."""
        if self._misfit is None:
            self._misfit = find_misfit(connection)
        return self._misfit is not None

    @property
    def misfit(self) -> str | None:
        """What is wrong with the tables' revision, as far as is known."""
        return None if self._misfit is None else str(self._misfit)

    def report(self) -> bool:
        """Log that the tables are those of another version, and return True, the first time that this is known."""
        if self._misfit is None or self._reported:
            return False
        self._reported = True
        log.error("%s These workers finish their jobs, and end.", self._misfit)
        return True

    def check(self) -> None:
        """Raise the error, if the tables are those of another version.

        Raises:
            SchemaError: they are.

        """
        if self._misfit is not None:
            raise self._misfit
