"""The PostgreSQL of a test run: one server, and a database per test cloned from a migrated template."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pgjobs.db import migrations as migrate
from pgjobs.db.url import libpq_url
from tests.support.recycle import fingerprint, recycle

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKER_IMAGE = "postgres:18"


@dataclass
class Server:
    """A running PostgreSQL. `url` leads to the database from which others are made; `source` says where it is from."""

    url: str
    source: str
    run: str = field(default_factory=lambda: f"pgjobs_test_{secrets.token_hex(4)}")
    version: int = 0
    _made: int = 0
    _template: str | None = None
    _fingerprint: str = ""  # of the template
    _spare: list[str] = field(default_factory=list)  # the URLs of databases that are like new

    def __post_init__(self) -> None:
        self.url = as_url(self.url)
        with psycopg.connect(self.url) as conn:
            self.version = conn.info.server_version // 10000

    @property
    def template(self) -> str:
        """The name of a migrated database without connections."""
        if self._template is None:
            name = f"{self.run}_template"
            self._admin(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            self._template = name
            migrate.upgrade(self.url_of(name), schema="pgjobs")
            self._fingerprint = fingerprint(self.url_of(name))
        return self._template

    def take(self) -> str:
        """Return the URL of a migrated database with nothing in it: a new one, or one that is like new."""
        return self._spare.pop() if self._spare else self.create()

    def give_back(self, url: str) -> None:
        """Make what `take` gave like new, for the next test; drop it, if it cannot be."""
        if recycle(url, self._fingerprint):
            self._spare.append(url)
        else:
            self.drop(url)

    def create(self, *, migrated: bool = True, encoding: str | None = None) -> str:
        """Make a database and give its URL; `encoding` (None: the server's) is for one that is not migrated."""
        template = self.template if migrated else "template0"
        self._made += 1
        name = f"{self.run}_{self._made}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        if encoding is not None:
            statement += sql.SQL(" ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'").format(sql.Literal(encoding))
        self._admin(statement)
        return self.url_of(name)

    def drop(self, url: str) -> None:
        """Drop a database, closing its connections."""
        name = urlsplit(url).path.lstrip("/")
        self._admin(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Drop what the run has left."""
        while self._spare:
            self.drop(self._spare.pop())
        if self._template is not None:
            self.drop(self.url_of(self._template))
            self._template = None

    def url_of(self, name: str) -> str:
        """Return the URL of another database on this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(statement)


def as_url(url: str) -> str:
    """Return a libpq URL, also for `key=value` pairs and SQLAlchemy's form."""
    url = libpq_url(url)
    if "://" in url:
        return url
    pairs = {key: quote(str(value), safe="") for key, value in conninfo_to_dict(url).items()}
    name = pairs.pop("dbname", "postgres")
    return f"postgresql:///{name}?" + "&".join(f"{key}={value}" for key, value in pairs.items())


@contextmanager
def start(given: str | None, choice: str, image: str = DOCKER_IMAGE) -> Iterator[Server]:
    """Find or start the server: `given` (a URL), else by `choice` (docker, embedded, or a folder of binaries)."""
    with ExitStack() as stack:
        if given:
            server = Server(given, "PGJOBS_TEST_DATABASE_URL")
        elif choice == "docker" and docker_answers():
            server = Server(stack.enter_context(_container(image)), f"container {image}")
        else:
            binaries = None if choice in ("docker", "embedded") else Path(choice)
            server = Server(stack.enter_context(_embedded(binaries)), f"embedded, {binaries or 'from the package'}")
        stack.callback(server.close)
        yield server


def docker_answers() -> bool:
    """Ask for a Docker engine."""
    try:
        import docker  # type: ignore[import-untyped]  # it ships no types

        client = docker.from_env()
    except Exception:  # not installed, no socket, no permission: no engine, whatever it is
        return False
    try:
        return bool(client.ping())
    finally:
        client.close()


@contextmanager
def _container(image: str) -> Iterator[str]:
    try:
        from testcontainers.community.postgres import PostgresContainer
    except ImportError:  # where it was before 4.15
        from testcontainers.postgres import PostgresContainer

    with PostgresContainer(image, driver=None) as container:
        yield container.get_connection_url()


@contextmanager
def _embedded(binaries: Path | None) -> Iterator[str]:
    from pgjobs.embedded import delete_server, embedded_server

    directory = Path(tempfile.mkdtemp(prefix="pgjobs-tests-"))
    try:
        # fsync off: these databases live for a minute, and a test run makes hundreds of them.
        with embedded_server(directory, binaries=binaries, durable=False) as server:
            yield server.url
    finally:
        delete_server(directory)
