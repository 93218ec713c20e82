"""psycopg connections for workers and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.db.url import describe, libpq_url
from pgjobs.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import LiteralString

    import psycopg

# A link that is cut silently is noticed: keepalives find an idle one after 25 s, the user timeout one with unsent
# data after 20 s.
_LINK = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

# The hot statements must be nested loops over indexes, whatever the statistics say: a fresh table, a million dead
# rows. Left alone, a generic plan once went to a sequential scan with a hash join, twenty times slower.
PINS: LiteralString = (
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
    "SET enable_bitmapscan = off; SET enable_sort = off; SET plan_cache_mode = force_generic_plan; SET jit = off"
)


def connect(url: str, *, application_name: str = "pgjobs", autocommit: bool = True) -> psycopg.Connection:
    """Connect, with a link that notices when it is cut.

    Raises:
        ConfigurationError: the URL is none, or the server does not let us in; the line says which.

    """
    import psycopg

    try:
        connection = psycopg.connect(
            libpq_url(url),
            autocommit=autocommit,
            application_name=application_name,
            **_LINK,  # type: ignore[arg-type]
        )
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ConnectError(f"can not connect to {describe(url)}: {reason}") from error
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"the database URL can not be used: {error}".strip()) from None
    return connection


def connect_hot(url: str, *, application_name: str, async_commit: bool = False) -> psycopg.Connection:
    """Connect for the hot path: plans pinned, statements prepared at first use.

    `async_commit` lets commits return before they are on disk. It is for claims only: a claim that a crash loses is
    a job that is queued again.
    """
    connection = connect(url, application_name=application_name)
    connection.execute(PINS)
    if async_commit:
        connection.execute("SET synchronous_commit = off")
    connection.prepare_threshold = None if behind_pooler(connection) else 0
    return connection


def behind_pooler(connection: psycopg.Connection) -> bool:
    """Say whether a pooler stands between: it tells a process number of its own instead of the backend's.

    Behind a transaction pooler neither LISTEN nor prepared statements nor SET outlive a transaction.
    """
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row is not None and row[0] != connection.info.backend_pid


class ConnectError(ConfigurationError):
    """The server can not be reached, or does not let us in."""
