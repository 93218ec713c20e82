"""What `enqueue` returns on an async connection: a coroutine that says so when its `await` is forgotten.

Python's own warning comes too late and says too little: the transaction is committed, and there is no job. So a
transaction of SQLAlchemy is not committed then. psycopg has no place to stop its own, and there it is a warning only.
"""

from __future__ import annotations

import warnings
from collections.abc import Coroutine, Generator
from contextlib import suppress
from typing import Any, NoReturn, TypeVar, final
from weakref import WeakKeyDictionary

from pgjobs.core.errors import EnqueueError

T = TypeVar("T")


@final
class Enqueueing(Coroutine[Any, Any, T]):
    """The coroutine, and for whom: `conn`, the word that was called, and the task."""

    __slots__ = ("_begun", "_conn", "_coroutine", "_task", "_word")

    def __init__(self, coroutine: Coroutine[Any, Any, T], conn: Any, word: str, task: str) -> None:
        self._coroutine = coroutine
        self._conn = conn
        self._word = word
        self._task = task
        self._begun = False

    def __await__(self) -> Generator[Any, Any, T]:
        self._begun = True
        return self._coroutine.__await__()

    def send(self, value: Any, /) -> Any:
        """Do a step; event loops call it."""
        self._begun = True
        return self._coroutine.send(value)

    def throw(self, *arguments: Any) -> Any:
        """Raise in it; event loops call it."""
        self._begun = True
        return self._coroutine.throw(*arguments)

    def close(self) -> None:
        """Drop it: nothing is enqueued, on purpose."""
        self._begun = True
        self._coroutine.close()

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"this has no {name} before it is awaited: `handle = await {self._word}(…)`.")

    def __del__(self) -> None:
        if self._begun:
            return
        self._coroutine.close()  # or Python warns as well
        message = (
            f"{self._word}() of {self._task} was not awaited, so there is no job: write `await {self._word}(…)`, as on "
            "every async connection."
        )
        with suppress(Exception):  # it is a net below the warning
            _stop_commit(self._conn, message)
        warnings.warn(message, RuntimeWarning, stacklevel=2)


_forgotten: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()


def _stop_commit(conn: Any, message: str) -> None:
    """Have the transaction of SQLAlchemy that the job was to be part of refuse to commit; it can be rolled back."""
    if (registry := getattr(conn, "registry", None)) is not None:  # of a scoped session
        conn = registry()
    session = getattr(conn, "sync_session", None)
    target = session or getattr(conn, "sync_connection", None)
    if target is None:
        return
    if target not in _forgotten:
        _forgotten[target] = []
        _watch(target, _forgotten[target], is_session=session is not None)
    _forgotten[target].append(message)


def _watch(target: Any, messages: list[str], *, is_session: bool) -> None:
    from sqlalchemy import event

    def refuse(committing: Any) -> None:
        if not messages:
            return
        message = messages[0]
        if not is_session:  # SQLAlchemy takes a connection's transaction for ended after this: no rollback would come
            messages.clear()
            committing.connection.rollback()
        raise EnqueueError(message)

    def end(_: Any, transaction: Any = None) -> None:
        if transaction is None or transaction.parent is None:  # not a savepoint
            messages.clear()

    event.listen(target, "before_commit" if is_session else "commit", refuse)
    event.listen(target, "after_transaction_end" if is_session else "rollback", end)
