"""The limits that code declares, written into the tables by the worker that has imported it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pgjobs.db.encoding import can_store, encoding_of
from pgjobs.db.statements import statement
from pgjobs.flow.limits import declared_limits, declared_queue_limits

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("pgjobs.limits")


class LimitWriter:
    """The limits declared in this process, and how many of them were written."""

    def __init__(self) -> None:
        self._written = (0, 0)

    def has_news(self) -> bool:
        """Return True if more was declared since the last `write`; declarations are never removed."""
        return self._written != (len(declared_limits), len(declared_queue_limits))

    def write(self, connection: psycopg.Connection) -> None:
        """Write all declared limits, but not over an operator's changes. Safe to repeat, and to run concurrently.

        Raises:
            psycopg.Error: the connection broke, or the role may not write it.

        """
        limits, queues = sorted(declared_limits.items()), sorted(declared_queue_limits.items())
        for kind, declared in (("declare_limit", limits), ("declare_queue_limit", queues)):
            for name, limit in declared:
                if can_store(connection, name):
                    connection.execute(statement(kind), {"name": name, **limit.columns()})
                else:
                    log.error(
                        "the limit %s is not written: it has a character that the database lacks (%s)",
                        name,
                        encoding_of(connection).database,
                    )
        self._written = len(limits), len(queues)
