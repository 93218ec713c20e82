"""Database URLs: SQLAlchemy's and libpq's forms made into what each driver takes, and passwords masked."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pgjobs.errors import ConfigurationError

# In a URL, `host=` more than once, or with a port, is SQLAlchemy's way to name several servers; libpq knows neither.
_HOST_AND_PORT = re.compile(r"([a-zA-Z0-9.-]+)(?::(\d+))?")
_SCHEME = re.compile(r"(postgres|postgresql)(\+\w+)?://")
# In PostgreSQL's own URLs up to the last @, because a password that was not quoted may hold any character.
_PASSWORD_IN_URL = re.compile(r"\b(postgres(?:ql)?(?:\+\w{1,20})?://[^\s/@:]*):\S*@|\b(\w{1,20}://[^\s/@:]*):[^\s/@]*@")
_PASSWORD_IN_PAIRS = re.compile(r"(?i)\b((?:ssl)?password=)('(?:\\.|[^'\\])*'|[^\s&]+)")


def libpq_url(url: str) -> str:
    """Give what psycopg and libpq take: `postgresql+asyncpg://…` becomes `postgresql://…`; `key=value` stays.

    Several servers may be named as libpq does it (`postgresql://a:5432,b:5432/…`) or SQLAlchemy (`?host=a:5432&host=b`).

    Raises:
        ConfigurationError: it is no PostgreSQL URL.

    """
    match = _SCHEME.match(url)
    if match:
        return "postgresql://" + _with_hosts_in_front(url[match.end() :])
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
        return f"postgresql+{driver}://" + _with_hosts_behind(libpq.removeprefix("postgresql://"))
    from psycopg.conninfo import conninfo_to_dict

    pairs = conninfo_to_dict(libpq)
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in pairs.items())
    return f"postgresql+{driver}://?{query}"


def _with_hosts_in_front(rest: str) -> str:
    """Turn SQLAlchemy's form for several servers into libpq's; all else stays. `rest`: what follows the scheme."""
    before, _, query = rest.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    hosts = [value for name, value in pairs if name == "host"]
    account, slash, database = before.partition("/")
    if not account.endswith("@") and account:
        return rest  # it names its server in front
    if len(hosts) < 2 and not any(_HOST_AND_PORT.fullmatch(host) and ":" in host for host in hosts):
        return rest
    others = [(name, value) for name, value in pairs if name != "host"]
    servers = ",".join(quote(host, safe=":[]") for host in hosts)
    return f"{account}{servers}{slash}{database}" + (f"?{urlencode(others, quote_via=quote)}" if others else "")


def _with_hosts_behind(rest: str) -> str:
    """Turn libpq's form for several servers into SQLAlchemy's; all else stays."""
    before, _, query = rest.partition("?")
    account, slash, database = before.partition("/")
    user, at, servers = account.rpartition("@")
    if "," not in servers:
        return rest
    hosts, ports = [], []
    for server in servers.split(","):
        host, _, port = server.rpartition(":") if re.search(r":\d*$", server) else (server, "", "")
        hosts.append(host.strip("[]"))
        ports.append(port or "5432")
    query = "&".join(filter(None, [f"host={','.join(hosts)}", f"port={','.join(ports)}", query]))
    return f"{user}{at}{slash or '/'}{database}?{query}"


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
