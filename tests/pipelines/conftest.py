"""A database with a worker for all tests of pipelines that need one."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.support import postgres, tasks_pipelines
from tests.support.tasks import URL
from tests.support.worker import Work, wait_for, work


@pytest.fixture(scope="module")
def shared_url(server: postgres.Server) -> Iterator[str]:
    url = server.take()
    yield url
    server.give_back(url)


@pytest.fixture(scope="module")
def worker(shared_url: str) -> Iterator[Work]:
    options = ("-q", "default:8", "--processes", "1", "--import", "tests.support.tasks_pipelines")
    with work(shared_url, *options, env={URL: shared_url}) as running:
        with psycopg.connect(shared_url, autocommit=True) as conn:
            wait_for(conn, "EXISTS (SELECT FROM pgjobs.pipelines)", log=lambda: running.output)
        yield running


@pytest.fixture
def shared(shared_url: str, worker: Work) -> Iterator[psycopg.Connection]:
    """A connection to the database of the worker, with empty notes, and without jobs."""
    with psycopg.connect(shared_url, autocommit=True) as conn:
        conn.execute("TRUNCATE pgjobs.jobs, pgjobs.dead_jobs")
        conn.execute("DROP TABLE IF EXISTS notes, broken")
        conn.execute(tasks_pipelines.NOTES)
        yield conn


def notes(conn: psycopg.Connection, stage: str = "store") -> list[str]:
    """Return what a stage got, in its order."""
    return [row[0] for row in conn.execute("SELECT item FROM notes WHERE stage = %s ORDER BY n", [stage])]


def wait_empty(conn: psycopg.Connection, worker: Work) -> None:
    """Wait until no job waits or runs; none has failed."""
    wait_for(
        conn,
        "NOT EXISTS (SELECT FROM pgjobs.jobs_live) AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting)",
        log=lambda: worker.output,
    )
    assert conn.execute("SELECT task, error FROM pgjobs.dead_jobs").fetchall() == []
