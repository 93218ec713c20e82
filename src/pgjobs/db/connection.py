"""psycopg connections for workers and the command line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString, cast

from pgjobs.core.errors import ConfigurationError
from pgjobs.core.text import one_line
from pgjobs.db.plan_settings import HOT
from pgjobs.db.session_settings import SESSION, Pins, session_settings, set_statements
from pgjobs.db.url import describe, hint, libpq_url, redact

if TYPE_CHECKING:
    import psycopg

    from pgjobs.db.deadline import DeadlineConnection

# A link that is cut silently is noticed: keepalives find an idle one after 25 s, the user timeout one with unsent
# data after 20 s. For what takes bytes and says nothing, workers have a deadline of their own: see `deadline`.
# UTF-8 whatever the database's encoding: errors of jobs can have any character, and the server says if it has not.
_LINK: dict[str, Any] = {
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

# For a worker's statements, in seconds. The server gives up first, so that no statement runs on without its client.
ANSWER_WITHIN = 30.0
STATEMENT_TIMEOUT = 20.0
LOCK_WITHIN = 0.5  # for a lock of another transaction: what needs it is left for later, and everything else continues
STILL_WITHIN = 5.0  # between two statements of a transaction: then the server ends it

# A worker or supervisor that stands still in a transaction holds its locks no longer than that.
_STILL: Pins = {
    # mypy takes a LiteralString for a str; pyright does not.
    "idle_in_transaction_session_timeout": cast("LiteralString", f"{STILL_WITHIN * 1000:.0f}"),  # type: ignore[redundant-cast]
}
# Of a session or transaction with hot statements.
_PINS: Pins = {
    **HOT,
    **_STILL,
    "statement_timeout": cast("LiteralString", f"{STATEMENT_TIMEOUT * 1000:.0f}"),  # type: ignore[redundant-cast]
    "lock_timeout": cast("LiteralString", f"{LOCK_WITHIN * 1000:.0f}"),  # type: ignore[redundant-cast]
}
# Of a transaction behind a pooler, where the session says nothing.
_LOCAL: Pins = {**{name: SESSION[name] for name in ("array_nulls",)}, **_PINS}


def connect(
    url: str, *, application_name: str = "pgjobs", autocommit: bool = True, answer_within: float | None = None
) -> DeadlineConnection:
    """Connect, with a link that notices when it is cut, and with settings of our own (see `session_settings.py`).

    Behind a pooler nothing is set, because settings of a session would stay behind in one that belongs to others.

    `answer_within`: seconds after which a statement without an answer is a `psycopg.OperationalError`, and the
    connection is closed; it is also the most that connecting may take (None: statements have no limit). With it, the
    server ends a transaction whose client stands still: see `bounded`.

    Raises:
        ConfigurationError: the URL cannot be used.
        ConnectError: the server cannot be reached, or rejects the login; the message says why.

    """
    import psycopg

    from pgjobs.db.deadline import DeadlineConnection

    libpq = libpq_url(url)
    with translated_errors(url):
        connection = DeadlineConnection.connect(
            libpq,
            autocommit=True,
            application_name=application_name,
            **_link(answer_within),
        )
        with _closed_after_errors(connection):
            connection.answer_within = answer_within
            connection.prepare_threshold = None  # nothing here runs often, and poolers lose prepared statements
            connection.pooled = behind_pooler(connection)
            if not connection.pooled:
                connection.execute_all(session_settings(connection.info.server_version))
                if answer_within is not None:
                    connection.execute_all(set_statements("SET", _STILL))
                _take_any_bytes(connection)
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # of transactions; behind a pooler too
    connection.autocommit = autocommit
    return connection


def _take_any_bytes(connection: DeadlineConnection) -> None:
    """In SQL_ASCII, which keeps any bytes, have PostgreSQL send all of them: it would refuse what is not UTF-8."""
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        from pgjobs.db.texts import read_any_bytes

        connection.execute_all("SET client_encoding = 'SQL_ASCII'")
        read_any_bytes(connection.adapters)
        connection.any_bytes = True


@contextmanager
def _closed_after_errors(connection: psycopg.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Turn the errors of connecting to this URL into one line that says why, without the password.

    Raises:
        ConnectError: the server cannot be reached, or rejects the login.
        ConfigurationError: the URL cannot be used.

    """
    import psycopg

    try:
        yield
    except psycopg.OperationalError as error:
        raise ConnectError(f"cannot connect to {describe(url)}: {_reason(error, url)}{hint(url)}") from error
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"the database URL cannot be used: {_reason(error, url)}{hint(url)}") from None
    except ValueError:  # characters that cannot be encoded, a NUL, a host name that is too long
        raise ConfigurationError(
            "the database URL cannot be used: it contains characters that are not text, or a host name that is too "
            f"long{hint(url)}."
        ) from None


def connect_hot(url: str, *, application_name: str, async_commit: bool = False) -> DeadlineConnection:
    """Connect for the hot path: plans pinned, statements prepared at first use.

    `async_commit` lets commits return before they are on disk. It is for claims only: a claim that a crash loses is
    a job that is queued again. Behind a pooler use `pinned` around the statements.

    Raises:
        ConfigurationError: as `connect`.

    """
    connection = connect(url, application_name=application_name, answer_within=ANSWER_WITHIN)
    if not connection.pooled:
        connection.execute_all(_set("SET", _PINS, async_commit=async_commit))
        connection.prepare_threshold = 0
    return connection


@contextmanager
def pinned(connection: DeadlineConnection, *, async_commit: bool = False) -> Iterator[None]:
    """Pin plans for one transaction, where `connect_hot` could not do it for the session."""
    with connection.transaction():
        connection.execute_all(_set("SET LOCAL", _LOCAL, async_commit=async_commit))
        yield


@contextmanager
def bounded(connection: psycopg.Connection) -> Iterator[None]:
    """Run one transaction that the server ends if its client stands still in it; behind a pooler, too."""
    with connection.transaction():
        if getattr(connection, "pooled", False):
            connection.execute(set_statements("SET LOCAL", _STILL))
        yield


def _set(verb: LiteralString, pins: Pins, *, async_commit: bool) -> LiteralString:
    return set_statements(verb, {**pins, "synchronous_commit": "off"} if async_commit else pins)


def behind_pooler(connection: psycopg.Connection) -> bool:
    """Return True if a pooler is in between: it reports a process number of its own instead of the backend's.

    Behind a transaction pooler neither LISTEN nor prepared statements nor SET outlive a transaction.
    """
    from psycopg import Cursor
    from psycopg.rows import tuple_row

    # A plain cursor: the connection may be a caller's, with rows of another kind.
    row = Cursor(connection, row_factory=tuple_row).execute("SELECT pg_backend_pid()").fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def _link(answer_within: float | None) -> dict[str, Any]:
    if answer_within is None or answer_within >= _LINK["connect_timeout"]:
        return _LINK
    return {**_LINK, "connect_timeout": max(2, math.ceil(answer_within))}  # libpq knows no less


def _reason(error: Exception, url: str) -> str:
    """Return libpq's reason in one line, without its question whether the server is running."""
    lines = [line.strip() for line in redact(str(error), url).splitlines()]
    said = [line.removeprefix("connection failed: ") for line in lines if line and not line.startswith("Is the server")]
    return one_line("; ".join(said) or type(error).__name__)


class ConnectError(ConfigurationError):
    """The server cannot be reached, or rejects the login."""
