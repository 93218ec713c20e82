"""Django's connection: what differs from other kinds. What all kinds do is in test_every_connection.py."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import psycopg
import pytest

from pgjobs import EnqueueError, StaleClaimError, UsageError, admin, complete, enqueue
from pgjobs.jobs.context import current
from tests.support.callers import django_wrapper
from tests.support.claimed import claimed_job
from tests.support.functions import add
from tests.support.rows import count

db: Any = pytest.importorskip("django.db")


@pytest.fixture
def wrapper(database_url: str) -> Iterator[Any]:
    wrapper = django_wrapper(database_url)
    yield wrapper
    wrapper.close()
    del db.connections[wrapper.alias]


def test_in_atomic_it_is_part_of_the_transaction_and_of_its_savepoints(conn: psycopg.Connection, wrapper: Any) -> None:
    def enqueue_and_fail(number: int) -> None:
        with db.transaction.atomic(using=wrapper.alias):
            enqueue(wrapper, add, number)
            raise LookupError

    with db.transaction.atomic(using=wrapper.alias):
        enqueue(wrapper, add, 1)
        with pytest.raises(LookupError):
            enqueue_and_fail(2)
        assert count(conn, "jobs") == 0
    with pytest.raises(LookupError):
        enqueue_and_fail(3)
    assert conn.execute("SELECT summary FROM pgjobs.jobs").fetchall() == [("add(1)",)]


def test_outside_of_it_the_job_is_committed_at_once(conn: psycopg.Connection, wrapper: Any) -> None:
    enqueue(wrapper, add, 1)
    assert count(conn, "jobs") == 1


def test_what_django_calls_connection_is_the_one_of_its_alias(conn: psycopg.Connection, wrapper: Any) -> None:
    proxy = import_module("django.utils.connection").ConnectionProxy(db.connections, wrapper.alias)
    enqueue(proxy, add, 1)
    assert count(conn, "jobs") == 1


def test_a_transaction_that_has_failed_is_said_to_be_so_by_django(wrapper: Any) -> None:
    with db.transaction.atomic(using=wrapper.alias):
        with pytest.raises(db.DataError), db.transaction.atomic(using=wrapper.alias, savepoint=False):
            wrapper.cursor().execute("SELECT 1 / 0")
        with pytest.raises(db.transaction.TransactionManagementError):
            enqueue(wrapper, add, 1)


def test_errors_of_the_driver_are_those_of_django(conn: psycopg.Connection, wrapper: Any) -> None:
    conn.execute("ALTER TABLE pgjobs.jobs_live ADD CONSTRAINT no CHECK (summary <> 'add(1)')")
    with pytest.raises(db.IntegrityError):
        enqueue(wrapper, add, 1)


def test_a_stale_claim_and_a_connection_in_autocommit_are_refused(wrapper: Any) -> None:
    token = current.set(claimed_job(1))
    try:
        with pytest.raises(UsageError, match=r"transaction\.atomic"):
            complete(wrapper)
        with pytest.raises(StaleClaimError), db.transaction.atomic(using=wrapper.alias):
            complete(wrapper)
    finally:
        current.reset(token)


def test_other_databases_and_what_holds_the_connections_are_refused(wrapper: Any) -> None:
    sqlite = import_module("django.db.backends.sqlite3.base").DatabaseWrapper({"NAME": ":memory:"}, "lite")
    with pytest.raises(EnqueueError, match="'lite' of Django's leads to sqlite"):
        enqueue(sqlite, add, 1)
    with pytest.raises(EnqueueError, match=r'connections\["default"\]'):
        enqueue(db.connections, add, 1)
    with pytest.raises(UsageError, match=r"pgjobs\.connect"):
        admin.list_jobs(wrapper)
