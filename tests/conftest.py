"""Fixtures for all tests: a PostgreSQL for the run, a database for each test, settings that do not leak."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from pgjobs.core.config import forget_settings
from pgjobs.core.errors import ConfigurationError
from pgjobs.embedded import delete_server, find_binaries
from pgjobs.hooks import kinds
from pgjobs.jobs.tracing import installed
from tests.support import front, postgres, turns

if TYPE_CHECKING:
    from collections.abc import Iterator

TEST_DATABASE_URL = os.environ.get("PGJOBS_TEST_DATABASE_URL")
_server = pytest.StashKey[postgres.Server]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pgjobs")
    group.addoption(
        "--postgres",
        default="embedded",
        metavar="embedded|docker|DIRECTORY",
        help="where PostgreSQL comes from, unless PGJOBS_TEST_DATABASE_URL names one: a server of its own (default), "
        "a container where a Docker engine answers, or a server of its own from a folder with initdb and postgres",
    )
    group.addoption("--postgres-image", default=postgres.DOCKER_IMAGE, help="the container's image")


def pytest_collection_finish() -> None:
    """Start without hooks: modules of jobs for workers register theirs at their import, which is in this process."""
    for registry in kinds.ALL:
        registry.clear()
    installed.tracing = None


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[postgres.Server]:
    """The server of this run."""
    choice, image = pytestconfig.getoption("--postgres"), pytestconfig.getoption("--postgres-image")
    with postgres.start(TEST_DATABASE_URL, choice, image) as server:
        pytestconfig.stash[_server] = server
        yield server


@pytest.fixture
def database_url(server: postgres.Server) -> Iterator[str]:
    """The libpq URL of a database of this test's own, with the tables in it."""
    url = server.take()
    yield url
    server.give_back(url)


@pytest.fixture
def empty_database_url(server: postgres.Server) -> Iterator[str]:
    """The libpq URL of a database of this test's own, with nothing in it."""
    url = server.create(migrated=False)
    yield url
    server.drop(url)


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to `database_url`, in autocommit mode."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start every test from the defaults, whatever the shell or another test has set."""
    for name in [name for name in os.environ if name.startswith("PGJOBS_")]:
        monkeypatch.delenv(name)
    forget_settings()
    yield
    forget_settings()


@pytest.fixture(scope="session")
def binaries(pytestconfig: pytest.Config) -> Path:
    """The folder with PostgreSQL's programs, for tests that start servers of their own."""
    choice = pytestconfig.getoption("--postgres")
    if choice not in ("embedded", "docker"):
        return Path(choice)
    try:
        return find_binaries()
    except ConfigurationError as error:
        pytest.skip(str(error))


@pytest.fixture
def embedded_directory() -> Iterator[Path]:
    """A folder for an embedded server, not there yet; not in tmp_path, whose parents are closed to root's helpers."""
    parent = Path(tempfile.mkdtemp(prefix="pgjobs-test-"))
    parent.chmod(0o711)
    yield parent / "server"
    delete_server(parent / "server")
    shutil.rmtree(parent)


def pytest_report_header() -> str:
    return f"turn {os.environ[turns.VARIABLE]} of the tests that take turns ({turns.VARIABLE}=all: all of them)"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    turns.leave_out(config, items)


def pytest_configure() -> None:
    turns.choose_turn()
    # Several processes share a run (`make test`) and the machine: that an example is slow says nothing about the code.
    hypothesis_settings.register_profile("pgjobs", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    hypothesis_settings.load_profile("pgjobs")
    # A shell starts what runs in the background with SIGINT ignored, and all processes would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    front.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _server in config.stash:
        used = config.stash[_server]
        terminalreporter.write_line(f"PostgreSQL {used.version} ({used.source})")
