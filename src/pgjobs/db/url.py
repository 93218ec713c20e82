"""Database URLs: SQLAlchemy's and libpq's forms made into what each driver takes, and passwords masked."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from pgjobs.errors import ConfigurationError

_SCHEME = re.compile(r"(postgres|postgresql)(\+\w+)?://")
# In PostgreSQL's own URLs up to the last @, because a password that was not quoted may hold any character.
_PASSWORD_IN_URL = re.compile(r"\b(postgres(?:ql)?(?:\+\w{1,20})?://[^\s/@:]*):\S*@|\b(\w{1,20}://[^\s/@:]*):[^\s/@]*@")
_PASSWORD_IN_PAIRS = re.compile(r"(?i)\b((?:ssl)?password=)('(?:\\.|[^'\\])*'|[^\s&]+)")


def libpq_url(url: str) -> str:
    """Give what psycopg and libpq take: `postgresql+asyncpg://…` becomes `postgresql://…`; `key=value` stays.

    Raises:
        ConfigurationError: it is no PostgreSQL URL.

    """
    match = _SCHEME.match(url)
    if match:
        return "postgresql://" + url[match.end() :]
    if "://" not in url and "=" in url:
        return url
    raise ConfigurationError(
        f"{mask(url)!r} is no PostgreSQL URL: give one like postgresql://user@host:5432/database "
        "(PGJOBS_DATABASE_URL or --database-url)."
    )


def sqlalchemy_url(url: str, driver: str = "psycopg") -> str:
    """Give what `sqlalchemy.create_engine` takes, for the driver.

    Raises:
        ConfigurationError: it is no PostgreSQL URL.

    """
    libpq = libpq_url(url)
    if libpq.startswith("postgresql://"):
        return f"postgresql+{driver}://" + libpq.removeprefix("postgresql://")
    from psycopg.conninfo import conninfo_to_dict

    pairs = conninfo_to_dict(libpq)
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in pairs.items())
    return f"postgresql+{driver}://?{query}"


def mask(text: str) -> str:
    """Put *** where a text holds the password of a database URL."""
    return _PASSWORD_IN_PAIRS.sub(r"\1***", _PASSWORD_IN_URL.sub(r"\1\2:***@", text))


def describe(url: str) -> str:
    """Name a database for people: host and database, no user and no password."""
    libpq = libpq_url(url)
    if not libpq.startswith("postgresql://"):
        return mask(libpq)
    parts = urlsplit(libpq)
    return f"{parts.netloc.rpartition('@')[2] or 'localhost'}{unquote(parts.path)}"
