"""One database for each file, emptied between tests: making one would take longer than the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Server


@pytest.fixture(scope="module")
def database_url(server: Server) -> Iterator[str]:
    """The libpq URL of a database of this file's own, with the tables in it."""
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to `database_url`, in autocommit mode; there are no jobs and no schedules."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE pgjobs.jobs, pgjobs.schedules, pgjobs.schedule_owners, pgjobs.workers, pgjobs.unique_keys, "
            "pgjobs.limits"
        )
        yield connection
