"""The pytest plugin: the fixture `jobs`, on the connection that a project's tests have, and databases for real workers.

It is loaded in each run of pytest where pgjobs is installed, so it imports nothing of it before a test asks.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SERVER_VARIABLE = "PGJOBS_TEST_DATABASE_URL"
_CONNECTION = "pgjobs_connection"
_LEFTOVERS = "pgjobs_leftovers"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what a project says about its tests."""
    parser.addini(_CONNECTION, "the fixture with the connection or session of a test, in its open transaction")
    parser.addini(_LEFTOVERS, "'error': a test fails that leaves jobs which have not ended", default="ignore")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "pgjobs(leftovers): 'error' or 'ignore': what jobs mean that a test leaves")
    config.addinivalue_line(
        "markers", "pgjobs_worker: jobs that are committed are run by a real `pgjobs work`, in a database of its own"
    )


@pytest.fixture
def jobs(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Make `pgjobs.testing.Jobs` on the connection of the test, or `AsyncJobs` if that is async."""
    conn = request.getfixturevalue(_CONNECTION)
    from pgjobs.db.adapters.detect import runner_of
    from pgjobs.testing import AsyncJobs, Jobs

    if runner_of(conn)[1] is not None:
        yield AsyncJobs(conn)
        return
    made = Jobs(conn)
    yield made
    if _leftovers(request) == "error" and (left := made.leftovers()):
        pytest.fail("the test has left what has not ended:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture
def pgjobs_connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Find the connection of the test: the fixture that a setting names, else Django's, else one of psycopg.

    The setting is `pgjobs_connection`. A project may define a fixture of this name itself, instead of the setting.
    """
    if request.node.get_closest_marker("pgjobs_worker") is None:
        named = request.config.getini(_CONNECTION)
        if named:
            yield request.getfixturevalue(named)
            return
        if {"db", "transactional_db"} & set(request.fixturenames) and "django.db" in sys.modules:
            yield sys.modules["django.db"].connection
            return
    import psycopg

    with psycopg.connect(request.getfixturevalue("pgjobs_database_url")) as conn:
        yield conn
        conn.rollback()


@pytest.fixture
def pgjobs_database_url(_pgjobs_server: tuple[str, str]) -> Iterator[str]:
    """Make a database for this test, with the tables of pgjobs and what `pgjobs_prepare` adds; yield its libpq URL."""
    from pgjobs.testing.databases import clone

    with clone(*_pgjobs_server) as url:
        yield url


@pytest.fixture
def pgjobs_real_worker(pgjobs_database_url: str) -> Any:
    """Make a `pgjobs.testing.RealWorker` on the database of this test."""
    from pgjobs.testing import RealWorker

    return RealWorker(pgjobs_database_url)


@pytest.fixture(scope="session")
def pgjobs_prepare() -> Callable[[str], object] | None:
    """Return what adds an application's own tables to the database that is cloned for tests. It gets the libpq URL."""
    return None


@pytest.fixture(scope="session")
def _pgjobs_server(pgjobs_prepare: Callable[[str], object] | None) -> Iterator[tuple[str, str]]:
    from pgjobs.testing import databases

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")
    folder = Path(tempfile.gettempdir()) / f"pgjobs-tests-{run}"
    given = os.environ.get(SERVER_VARIABLE)
    if given:
        yield given, databases.template(given, pgjobs_prepare, f"{databases.TEMPLATE}_{run}"[:63])
        return
    try:
        with databases.server_in(folder) as url:
            yield url, databases.template(url, pgjobs_prepare)
    finally:
        databases.delete(folder)


def _leftovers(request: pytest.FixtureRequest) -> str:
    marker = request.node.get_closest_marker("pgjobs")
    if marker is not None and "leftovers" in marker.kwargs:
        return str(marker.kwargs["leftovers"])
    return str(request.config.getini(_LEFTOVERS))
