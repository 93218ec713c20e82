"""TLS: what the URL says of it goes through to every connection, of commands, workers and applications."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from pgjobs import enqueue
from pgjobs.cli.main import main
from pgjobs.db.embedded import embedded_server
from pgjobs.db.url import sqlalchemy_url
from tests.support import tasks
from tests.support.worker import drain, scalar, wait_done, wait_for, work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="certificates are made with the openssl command")

SHOWN = """
    SELECT application_name, ssl, coalesce(client_dn, '') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
    WHERE backend_type = 'client backend' AND application_name LIKE 'pgjobs%'
"""


class Certificates(NamedTuple):
    """An authority, another one, and what the first has signed for a client."""

    authority: Path
    other: Path
    client: Path
    client_key: Path


def openssl(*arguments: object) -> None:
    assert OPENSSL is not None
    subprocess.run([OPENSSL, *map(str, arguments)], check=True, capture_output=True)


def make_authority(folder: Path, name: str) -> Path:
    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}")
    openssl(*new, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt")
    return folder / f"{name}.crt"


def sign(authority: Path, name: str, *, extension: str) -> tuple[Path, Path]:
    """Make a certificate and its key."""
    folder = authority.parent
    key, request, certificate = (folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"{extension}\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    openssl(
        *("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority.with_suffix(".key")),
        *("-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate),
    )
    key.chmod(0o600)
    return certificate, key


def with_tls(url: str, mode: str, **files: Path) -> str:
    """Give the URL with these files, and the host by the name that the certificate has."""
    parts = "&".join([f"sslmode={mode}", *(f"{name}={path}" for name, path in files.items())])
    return f"{url.replace('127.0.0.1', 'localhost')}{'&' if '?' in url else '?'}{parts}"


@contextmanager
def settings_of(conn: psycopg.Connection) -> Iterator[None]:
    """Wait, after a block, until the server has read its settings again."""
    yield
    conn.execute("SELECT pg_reload_conf()")
    wait_for(conn, "current_setting('ssl') = 'on'")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = make_authority(folder, "authority"), make_authority(folder, "other")
    sign(authority, "server", extension="subjectAltName=DNS:localhost")
    client, client_key = sign(authority, "postgres", extension="extendedKeyUsage=clientAuth")
    return Certificates(authority, other, client, client_key)


@pytest.fixture
def plain_url(embedded_directory: Path, binaries: Path, certificates: Certificates) -> Iterator[str]:
    """The URL, without a word of TLS, of a server that takes nothing else but TLS over TCP."""
    with embedded_server(embedded_directory, binaries=binaries, durable=False) as server:
        with psycopg.connect(server.url, autocommit=True) as conn, settings_of(conn):
            files = {name: (certificates.authority.parent / name).read_text() for name in ("server.crt", "server.key")}
            files["ca.crt"] = certificates.authority.read_text()
            for name, text in files.items():  # by the server itself, whose folder may belong to another user
                conn.execute("CREATE TEMP TABLE IF NOT EXISTS lines (line text)")
                conn.execute("TRUNCATE lines")
                with conn.cursor().copy("COPY lines FROM STDIN") as copy:
                    for line in text.splitlines():
                        copy.write_row([line])
                target = f"{scalar(conn, 'SHOW data_directory')}/{name}"
                conn.execute(f"COPY lines TO PROGRAM 'umask 077; cat > {target}'".encode())
            for setting in ("ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'", "ssl_ca_file = 'ca.crt'"):
                conn.execute(f"ALTER SYSTEM SET {setting}".encode())
            conn.execute("ALTER SYSTEM SET ssl = on")
            rules = scalar(conn, "SHOW hba_file")
            conn.execute(
                f"COPY (SELECT 'hostssl all all all scram-sha-256') TO PROGRAM 'cat > {rules}'".encode(),
            )
        yield server.url


def test_verify_full_goes_through_to_every_connection(
    plain_url: str,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = with_tls(plain_url, "verify-full", sslrootcert=certificates.authority)
    for given in (url, sqlalchemy_url(url)):
        monkeypatch.setenv("PGJOBS_DATABASE_URL", given)
        assert main(["migrate"]) == 0
        assert main(["status"]) == 0
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
    with engine.begin() as connection:
        first = enqueue(connection, tasks.nothing).id
    with psycopg.connect(url, autocommit=True) as conn:
        assert main(["jobs", "show", str(first)]) == 0
        drain(sqlalchemy_url(url))
        with work(url, "--processes", 2) as running:
            enqueue(conn, tasks.nothing.options(executor="process"))
            wait_done(conn, log=lambda: running.output)
            shown = conn.execute(SHOWN).fetchall()
        assert len(shown) >= 5, "the supervisor's, and two of each process"
        assert all(uses_tls for _, uses_tls, _ in shown), shown
        assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed'") == 2


@pytest.mark.parametrize(
    ("mode", "said"),
    [("verify-full", "certificate verify failed"), ("disable", "no encryption")],
    ids=["another authority", "no TLS"],
)
def test_a_server_that_is_not_the_one_is_refused_in_a_line_and_nothing_is_run(
    mode: str,
    said: str,
    plain_url: str,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = with_tls(plain_url, mode, sslrootcert=certificates.other)
    monkeypatch.setenv("PGJOBS_DATABASE_URL", url)
    for command in (["migrate"], ["status"], ["work", "--drain"]):
        assert main(command) == 1
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if not line.startswith("{")]
        assert len(lines) == 1, captured.err
        assert said in lines[0]
        assert captured.out == ""
    with psycopg.connect(with_tls(plain_url, "require")) as conn:
        assert scalar(conn, "SELECT to_regnamespace('pgjobs') IS NULL")


def test_a_client_certificate_goes_through(
    plain_url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(with_tls(plain_url, "require"), autocommit=True) as conn, settings_of(conn):
        rules = scalar(conn, "SHOW hba_file")
        conn.execute(f"COPY (SELECT 'hostssl all all all cert') TO PROGRAM 'cat > {rules}'".encode())
    url = with_tls(plain_url, "verify-full", sslrootcert=certificates.authority)
    monkeypatch.setenv("PGJOBS_DATABASE_URL", url)
    assert main(["migrate"]) == 1, "the password is no longer enough"
    url += f"&sslcert={certificates.client}&sslkey={certificates.client_key}"
    monkeypatch.setenv("PGJOBS_DATABASE_URL", sqlalchemy_url(url))
    assert main(["migrate"]) == 0
    with psycopg.connect(url, autocommit=True) as conn:
        enqueue(conn, tasks.nothing)
        with work(url) as running:
            wait_done(conn, log=lambda: running.output)
            shown = conn.execute(SHOWN).fetchall()
        assert shown
        assert all(subject == "/CN=postgres" for _, _, subject in shown), shown
