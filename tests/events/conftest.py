"""One database for each file, emptied between tests; what the tests declare is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.events import subscribe as declarations
from pgjobs.jobs import registry

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
    """A connection to `database_url`, in autocommit mode; there are no jobs, and nothing is declared."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE pgjobs.jobs, pgjobs.dead_jobs, pgjobs.workers, pgjobs.schedule_owners, pgjobs.subscriptions, "
            "pgjobs.topics, pgjobs.events, pgjobs.paused_tasks, pgjobs.queues, pgjobs.broadcasts, pgjobs.broadcast_runs"
        )
        yield connection


@pytest.fixture(autouse=True)
def nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every test without the declarations of others."""
    monkeypatch.setattr(declarations, "_subscriptions", {})
    monkeypatch.setattr(declarations, "_topics", {})
    monkeypatch.setattr(registry, "_jobs", dict(registry._jobs))
