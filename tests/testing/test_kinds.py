"""The test kit on each kind of synchronous connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from pgjobs import enqueue, job
from pgjobs.core.errors import UsageError
from pgjobs.db.url import sqlalchemy_url
from pgjobs.testing import Jobs
from tests.support.callers import django_wrapper
from tests.testing import app

here: dict[str, Any] = {}


@contextmanager
def a_connection(url: str) -> Iterator[Any]:
    with create_engine(sqlalchemy_url(url), poolclass=NullPool).connect() as conn:
        yield conn


@contextmanager
def a_session(url: str) -> Iterator[Any]:
    """The recipe of SQLAlchemy for tests: what the code under test commits is a savepoint."""
    with a_connection(url) as conn:
        conn.begin()
        with Session(conn, join_transaction_mode="create_savepoint") as session:
            yield session


@contextmanager
def a_bare_session(url: str) -> Iterator[Any]:
    with Session(create_engine(sqlalchemy_url(url), poolclass=NullPool)) as session:
        yield session


@contextmanager
def a_test_case_of_django(url: str) -> Iterator[Any]:
    from django.db import transaction

    wrapper = django_wrapper(url)
    try:
        with transaction.atomic(using=wrapper.alias):
            yield wrapper
            transaction.set_rollback(True, using=wrapper.alias)
    finally:
        wrapper.close()


KINDS: dict[str, Callable[[str], Any]] = {
    "Connection": a_connection,
    "Session": a_session,
    "bare Session": a_bare_session,
    "Django": a_test_case_of_django,
}


@pytest.fixture(params=KINDS)
def caller(request: pytest.FixtureRequest, database_url: str) -> Iterator[Any]:
    app.calls.clear()
    with KINDS[request.param](database_url) as conn:
        here["conn"] = conn
        yield conn


@job(transaction=True)
def on_session(session: Session, number: int) -> None:
    app.calls.append(session.execute(text("SELECT CAST(:n AS int)"), {"n": number}).scalar_one())


@job(max_attempts=1)
def commits() -> None:
    here["conn"].commit()


def test_jobs_run_with_retries_steps_and_results(caller: Any) -> None:
    jobs = Jobs(caller)
    enqueue(caller, app.charge_once, 7)
    doubled = enqueue(caller, app.double, 21)
    enqueue(caller, app.in_loop, 5)
    enqueue(caller, app.index, 1)
    done = jobs.drain().check()
    assert done[doubled].result == 42
    assert sorted(map(str, app.calls)) == ["5", "[1]", "charge 7", "{'charged': 70}"]
    jobs.assert_enqueued(app.double, 21)


def test_a_job_with_a_transaction_gets_a_session(caller: Any) -> None:
    enqueue(caller, on_session, 3)
    Jobs(caller).drain().check()
    assert app.calls == [3]


def test_a_job_that_commits_ends_no_more_than_it_would_in_a_worker(caller: Any, request: pytest.FixtureRequest) -> None:
    jobs = Jobs(caller)
    handle = enqueue(caller, commits)
    kind = request.node.callspec.params["caller"]
    if kind == "Session":  # a savepoint
        assert jobs.run(handle).outcome == "completed"
    elif kind == "Django":  # Django says it
        assert "atomic" in str(jobs.run(handle).error)
    else:
        with pytest.raises(UsageError, match="has ended the transaction of the test"):
            jobs.run(handle)
