"""What an installation is called outside of its schema: by its connections, and by the channels that it listens on.

Several installations may share a database. PostgreSQL cuts such names at 63 bytes, and the end of a name is needed for
the rest of it. So a long schema is not cut, which would give two installations the same name: a hash of all of it takes
the place of its end.
"""

from __future__ import annotations

from pgjobs.core.config import settings

LONGEST = 20  # characters of a schema that is named in full; also in the function `doorbell_channel`
_HASHED = 8  # characters of the hash


def installation_name(schema: str | None = None) -> str:
    """Name the installation in a schema (default: the setting), in 20 characters at most.

    >>> installation_name("pgjobs"), installation_name("jobs_of_the_warehouse_a")
    ('pgjobs', 'jobs_of_the_2d8284b0')

    """
    schema = schema or settings().schema
    if len(schema) <= LONGEST:
        return schema
    return f"{schema[: LONGEST - _HASHED - 1]}_{text_hash(schema)[:_HASHED]}"


def connection_name(role: str) -> str:
    """Return the name of a connection in `pg_stat_activity`: the installation, and what the connection is for."""
    return f"{installation_name()} {role}"[:63]


def text_hash(text: str) -> str:
    """Return MD5 of a text in UTF-8, in hexadecimal digits, as the SQL function `doorbell_channel` does."""
    from hashlib import md5  # imported lazily: it is slow to import

    return md5(text.encode(), usedforsecurity=False).hexdigest()
