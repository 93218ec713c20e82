"""A database with a worker for all tests of workflows that need one, and what a workflow is at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import psycopg
import pytest

from pgjobs import admin
from tests.support import postgres, tasks_workflows
from tests.support.tasks import URL
from tests.support.worker import Work, wait_for, work


@pytest.fixture(scope="module")
def shared_url(server: postgres.Server) -> Iterator[str]:
    url = server.take()
    yield url
    server.give_back(url)


@pytest.fixture(scope="module")
def worker(shared_url: str) -> Iterator[Work]:
    options = ("-q", "default:8", "--processes", "1", "--import", "tests.support.tasks_workflows")
    with work(shared_url, *options, env={URL: shared_url}) as running:
        yield running


@pytest.fixture
def shared(shared_url: str, worker: Work) -> Iterator[psycopg.Connection]:
    """A connection to the database of the worker, with empty notes."""
    with psycopg.connect(shared_url, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS notes, broken")
        conn.execute(tasks_workflows.NOTES)
        conn.execute(
            "UPDATE pgjobs.queues SET paused = false; DELETE FROM pgjobs.paused_tasks"
        )  # of a test that failed
        yield conn


@pytest.fixture
def ends(shared: psycopg.Connection, worker: Work) -> Callable[..., dict[str, Any]]:
    """Wait until a workflow has this status, and return its row."""

    def wait(handle: Any, status: str = "completed") -> dict[str, Any]:
        wait_for(
            shared,
            f"(SELECT status = '{status}' FROM pgjobs.workflows WHERE id = {handle.id})",
            log=lambda: worker.output,
        )
        return asdict(admin.list_workflows(shared, limit=1, before=handle.id + 1)[0])

    return wait


def notes(conn: psycopg.Connection) -> list[str]:
    """Return which steps ran, in their order."""
    return [row[0] for row in conn.execute("SELECT name FROM notes ORDER BY n")]


def value_of(conn: psycopg.Connection, name: str) -> Any:
    """Return what a step noted."""
    row = conn.execute("SELECT value FROM notes WHERE name = %s ORDER BY n DESC", [name]).fetchone()
    return None if row is None else row[0]
