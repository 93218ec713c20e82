"""The limits that code declares, written into the tables by the worker that has imported it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.db.statements import statement
from pgjobs.flow.limits import declared_limits, declared_queue_limits

if TYPE_CHECKING:
    import psycopg


class Declared:
    """What was declared in this process, and how much of that was written."""

    def __init__(self) -> None:
        self._written = (0, 0)

    def has_news(self) -> bool:
        """Say whether more was declared since the last time: nothing is ever taken back."""
        return self._written != (len(declared_limits), len(declared_queue_limits))

    def write(self, connection: psycopg.Connection) -> None:
        """Write all that was declared; what an operator has changed stays. Safe to repeat, and for all at once.

        Raises:
            psycopg.Error: the connection broke, or the role may not write it.

        """
        limits, queues = sorted(declared_limits.items()), sorted(declared_queue_limits.items())
        for name, limit in limits:
            connection.execute(statement("declare_limit"), {"name": name, **limit.columns()})
        for name, limit in queues:
            connection.execute(statement("declare_queue_limit"), {"name": name, **limit.columns()})
        self._written = len(limits), len(queues)
