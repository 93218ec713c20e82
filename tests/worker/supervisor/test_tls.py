"""TLS: what the URL says of it goes through to every connection, of commands, workers and applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from pgjobs import enqueue
from pgjobs.cli.main import main
from pgjobs.core.config import forget_settings
from pgjobs.db.url import sqlalchemy_url
from tests.support import tasks
from tests.support.tls import OPENSSL, Door, door, make_authority, sign
from tests.support.worker import drain, scalar, wait_done, work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(OPENSSL is None, reason="certificates are made with the openssl command"),
    pytest.mark.in_turns(3),
]


class Certificates(NamedTuple):
    """An authority, another one, and what the first has signed: certificates and keys."""

    authority: Path
    other: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority = make_authority(folder, "authority")
    return Certificates(
        authority,
        make_authority(folder, "other"),
        sign(authority, "server", extension="subjectAltName=DNS:localhost"),
        sign(authority, "worker", extension="extendedKeyUsage=clientAuth"),
    )


def through(opened: Door, url: str, mode: str, **files: Path) -> str:
    """Return the URL through the door, with these files, and the host by the name that the certificate has."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    query = "&".join([f"sslmode={mode}", *(f"{name}={path}" for name, path in files.items())])
    return urlunsplit(parts._replace(netloc=f"{user}@localhost:{opened.port}", query=query))


def place_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        pytest.skip("the server listens on a socket alone")
    return parts.hostname, parts.port


def command(monkeypatch: pytest.MonkeyPatch, url: str, *arguments: str) -> int:
    """Run a command in this process, on this database."""
    monkeypatch.setenv("PGJOBS_DATABASE_URL", url)
    forget_settings()
    return main(arguments)


@pytest.fixture
def opened(empty_database_url: str, certificates: Certificates) -> Iterator[Door]:
    with door(*place_of(empty_database_url), *certificates.server) as opened:
        yield opened


@pytest.mark.parametrize("form", ["libpq", "SQLAlchemy"])
def test_verify_full_goes_through_to_every_connection(
    form: str, opened: Door, empty_database_url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = through(opened, empty_database_url, "verify-full", sslrootcert=certificates.authority)
    given = url if form == "libpq" else sqlalchemy_url(url)
    for arguments in (["migrate"], ["status"], ["queues", "list"]):
        assert command(monkeypatch, given, *arguments) == 0
    with create_engine(sqlalchemy_url(url), poolclass=NullPool).begin() as connection:
        first = enqueue(connection, tasks.nothing).id
    assert command(monkeypatch, given, "jobs", "show", str(first)) == 0
    before = len(opened.let_in)
    assert before >= 5
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        drain(given)
        enqueue(conn, tasks.nothing.options(executor="process"))
        drain(given, "--processes", 2)
        assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed'") == 2
    assert len(opened.let_in) >= before + 2 * 3, "of two supervisors and three processes"
    assert opened.turned_away == 0


def test_a_worker_uses_tls_for_all_that_it_has_with_the_server(
    database_url: str, conn: psycopg.Connection, certificates: Certificates
) -> None:
    with door(*place_of(database_url), *certificates.server) as own:
        url = through(own, database_url, "verify-full", sslrootcert=certificates.authority)
        with work(url, "--processes", 2) as running:
            enqueue(conn, tasks.nothing)
            wait_done(conn, log=lambda: running.output)
            connected = scalar(
                conn,
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'pgjobs%%' AND pid <> pg_backend_pid()",
                [],
            )
            assert connected >= 5, "the supervisor's, and two of each process"
            assert len(own.let_in) >= connected, "none came by another way"
            assert own.turned_away == 0


@pytest.mark.parametrize(
    ("mode", "said"),
    [("verify-full", "certificate verify failed"), ("disable", "closed the connection")],
    ids=["another authority", "no TLS"],
)
def test_a_server_that_is_not_the_one_is_refused_in_a_line_and_nothing_is_run(
    mode: str,
    said: str,
    opened: Door,
    empty_database_url: str,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = through(opened, empty_database_url, mode, sslrootcert=certificates.other)
    for arguments in (["migrate"], ["status"], ["work", "--drain"]):
        assert command(monkeypatch, url, *arguments) == 1
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if not line.startswith("{")]
        assert len(lines) == 1, captured.err
        assert said in lines[0]
        assert captured.out == ""
    assert opened.let_in == []
    with psycopg.connect(empty_database_url) as conn:
        assert scalar(conn, "SELECT to_regnamespace('pgjobs') IS NULL")


def test_a_client_certificate_goes_through(
    empty_database_url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of(empty_database_url)
    with door(*place, *certificates.server, clients=certificates.authority) as opened:
        without = through(opened, empty_database_url, "verify-full", sslrootcert=certificates.authority)
        assert command(monkeypatch, without, "migrate") == 1
        certificate, key = certificates.client
        url = f"{without}&sslcert={certificate}&sslkey={key}"
        assert command(monkeypatch, sqlalchemy_url(url), "migrate") == 0
        with psycopg.connect(url, autocommit=True) as conn:
            enqueue(conn, tasks.nothing)
            drain(url)
            assert scalar(conn, "SELECT status FROM pgjobs.jobs") == "completed"
        assert len(opened.let_in) >= 4
        assert set(opened.let_in) == {"worker"}
