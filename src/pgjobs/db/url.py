"""Database URLs: SQLAlchemy's and libpq's forms made into what each driver takes, and passwords masked."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode

from pgjobs.core.errors import ConfigurationError
from pgjobs.core.text import shorten_repr

# In a URL, `host=` more than once, or with a port, is SQLAlchemy's way to name several servers; libpq knows neither.
_HOST_AND_PORT = re.compile(r"([a-zA-Z0-9.-]+)(?::(\d+))?")
_SCHEME = re.compile(r"(postgres|postgresql)(\+\w+)?://")
# In PostgreSQL's own URLs up to the last @, because a password that was not quoted may hold any character.
_PASSWORD_IN_URL = re.compile(r"\b(postgres(?:ql)?(?:\+\w{1,20})?://[^\s/@:]*):\S*@|\b(\w{1,20}://[^\s/@:]*):[^\s/@]*@")
# A quote that is never closed reaches to the end.
_PASSWORD_IN_PAIRS = re.compile(r"(?i)\b((?:ssl)?password\s*=\s*)('(?:\\.|[^'\\])*(?:'|\\?$)|[^\s&]+)")
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_NOT_QUOTED = re.compile(r"[\s/?#@]|%(?![0-9A-Fa-f]{2})")
_SEPARATORS = re.compile(r"[\s/?#@:=&]")
_TOO_SHORT = 4  # characters of a password that would be found in any text


def libpq_url(url: str) -> str:
    """Return the URL for psycopg and libpq: `postgresql+asyncpg://…` becomes `postgresql://…`; `key=value` stays.

    Several servers may be named as libpq does it (`postgresql://a:5432,b:5432/…`), or SQLAlchemy (`?host=a&host=b`).

    Raises:
        ConfigurationError: it is not a PostgreSQL URL.

    """
    match = _SCHEME.match(url)
    if match:
        return "postgresql://" + _with_hosts_in_front(url[match.end() :])
    if "://" not in url and "=" in url:
        return url
    raise ConfigurationError(
        f"{shorten_repr(_shown(url))} is not a PostgreSQL URL: give one like postgresql://user@host:5432/database "
        "(PGJOBS_DATABASE_URL or --database-url)."
    )


def sqlalchemy_url(url: str, driver: str = "psycopg") -> str:
    """Return the form that `sqlalchemy.create_engine` takes, for the driver.

    Raises:
        ConfigurationError: it is not a PostgreSQL URL.

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


def redact(text: str, url: str) -> str:
    """Put *** where a text about this URL holds its password, or a piece of it.

    libpq quotes what it could not read, and takes a password apart that was not written percent-encoded.
    """
    text = mask(text)
    for secret in _secrets(url):
        pieces = {secret, unquote(secret), *_SEPARATORS.split(secret)} - {""}
        for known in sorted(pieces, key=lambda piece: (-len(piece), piece)):  # the whole before its pieces
            text = text.replace(known, "***") if len(known) >= _TOO_SHORT else text
            text = _QUOTED.sub(lambda match, known=known: _unless_of(known, match), text)  # type: ignore[misc]
    return text


def hint(url: str) -> str:
    """Return advice about a password that libpq cannot have read as it was meant, or an empty string."""
    if "://" in url and any(map(_NOT_QUOTED.search, _secrets(url))):
        return ". A password in a URL has to be percent-encoded: / is %2F, @ is %40, % is %25, a space is %20."
    return ""


def describe(url: str) -> str:
    """Name a database for people: host and database, no user and no password."""
    libpq = libpq_url(url)
    if not libpq.startswith("postgresql://"):
        return mask(libpq)
    # Not urlsplit, which raises for what libpq takes, and takes the rest of a password for a path.
    place, _, query = libpq.removeprefix("postgresql://").partition("?")
    if "@" in place:
        place = place.rpartition("@")[2]
    elif "@" in query and "/" not in place and ":" in place:  # the ? was of the password
        place = query.rpartition("@")[2].partition("?")[0]
    host, slash, name = place.partition("/")
    return f"{host or 'localhost'}{slash}{unquote(name)}"


def _unless_of(secret: str, match: re.Match[str]) -> str:
    quoted = match[1] or match[2] or ""
    of_secret = quoted and (quoted in secret or (len(secret) >= _TOO_SHORT and secret in quoted))
    # No name of a host or a database has an @: this is what stood around one that belonged to a password.
    of_secret = of_secret or ("@" in quoted and ":***@" not in quoted)
    return match[0].replace(quoted, "***") if of_secret else match[0]


def _secrets(url: str) -> list[str]:
    """List what may be the passwords in a URL, as they stand there; rather too much than too little."""
    head, at, _ = url.rpartition("@")
    user, colon, password = head.partition("://")[2].partition(":")
    found = [password] if at and colon and "/" not in user else []
    return found + [match[2].strip("'") for match in _PASSWORD_IN_PAIRS.finditer(url)] + _rest_of_pairs(url)


def _rest_of_pairs(url: str) -> list[str]:
    """Return the words after a password in `key=value` pairs, up to the next pair: the rest of one without quotes."""
    if "://" in url:
        return []
    found = re.search(r"(?i)\bpassword\s*=\s*[^'\s]\S*((?:\s+[^\s=]+(?=\s|$))+)", url)
    return found[1].split() if found else []


def _shown(url: str) -> str:
    """Show what is not a URL of ours, with nothing between a colon and an @."""
    head, at, place = url.rpartition("@")
    scheme, slashes, user = head.rpartition("//") if "//" in head else ("", "", head)
    name, colon, _ = user.partition(":/") if ":/" in user else user.partition(":")
    shown = f"{scheme}{slashes}{name}{':***' if colon else ''}@{place}" if at else url
    return mask(shown)
