"""Connections on which a statement that gets no answer in time is an error.

TCP notices when the other machine is gone. It does not notice when something in between (a proxy, a firewall, a pooler
that hangs) accepts bytes and never answers. So there is a deadline for each statement.

This is apart from `connection`, because a subclass of psycopg's needs psycopg, which is slow to import.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg.pq import Format, TransactionStatus


class BinaryCursor(psycopg.Cursor[Any]):
    """A cursor that reads results in binary form: what a session sets for their text does not change what is read."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.format = Format.BINARY


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that waits `answer_within` seconds for each answer (None: forever), and is closed after that.

    `pooled`: a pooler is in between, so that neither LISTEN nor settings nor prepared statements last. `any_bytes`: it
    writes UTF-8 and reads any bytes (see `texts.py`), whatever psycopg takes for its encoding.
    """

    answer_within: float | None = None
    pooled = False
    any_bytes = False

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.cursor_factory = BinaryCursor

    def execute_all(self, statements: str) -> None:
        """Run several statements at once, which return nothing."""
        self.cursor().execute(statements.encode(), binary=False)

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **keywords: Any) -> Any:
        """Wait as psycopg does, until the deadline.

        Raises:
            psycopg.OperationalError: there was no answer.

        """
        limited = gen if self.answer_within is None else self._within(gen, self.answer_within)
        try:
            return super().wait(limited, *arguments, **keywords)
        except KeyboardInterrupt:
            # psycopg has cancelled the statement. It cannot read the end of it when the interrupt came up in `gen`,
            # and a rollback would fail with a warning on the terminal.
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise

    def _within(self, gen: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
        until = time.monotonic() + seconds
        try:
            waits_for = next(gen)
            while True:
                ready = yield waits_for
                if not ready and time.monotonic() > until:
                    gen.close()
                    self.pgconn.finish()  # or a rollback would wait as long again
                    raise psycopg.OperationalError(f"no answer for {seconds:g} s")
                waits_for = gen.send(ready)
        except StopIteration as end:
            return end.value
