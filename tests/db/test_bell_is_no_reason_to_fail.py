"""The bell is never a reason to fail: with a full NOTIFY queue, and in a transaction that is prepared."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs import Unique, broadcast, enqueue
from pgjobs.admin import show_broadcast
from pgjobs.db import migrations as migrate
from pgjobs.db.doorbell import notify_queues
from pgjobs.db.statements import statement
from pgjobs.diagnose.doctor import doctor
from pgjobs.embedded import delete_server, embedded_server
from tests.support import functions
from tests.support.rows import put_worker
from tests.support.worker import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def url(binaries: Path) -> Iterator[str]:
    """A database on a server with a NOTIFY queue of half a megabyte, and with two-phase commit."""
    directory = Path(tempfile.mkdtemp(prefix="pgjobs-test-"))
    directory.chmod(0o711)
    server = directory / "server"
    try:
        with embedded_server(server, binaries=binaries, durable=False) as started:
            with psycopg.connect(started.url, autocommit=True) as conn:
                if conn.info.server_version < 170000:
                    pytest.skip("before PostgreSQL 17 its NOTIFY queue has 8 GB")
                conn.execute("ALTER SYSTEM SET max_notify_queue_pages = 64")
                conn.execute("ALTER SYSTEM SET max_prepared_transactions = 2")
        with embedded_server(server, binaries=binaries, durable=False) as started:
            migrate.upgrade(started.url)
            yield started.url
    finally:
        delete_server(server)
        directory.rmdir()


@pytest.fixture
def armed(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("DELETE FROM pgjobs.jobs")
        conn.execute(statement("ensure_queue"), {"queue": "default"})
        conn.execute(statement("enable_notify"), {"queue": "default", "seconds": 600})
        yield conn


def fill_the_queue(conn: psycopg.Connection) -> None:
    while True:
        conn.execute("SELECT pg_notify('news', repeat('x', 7900) || random())")


def test_with_a_full_notify_queue_transactions_are_committed(url: str, armed: psycopg.Connection) -> None:
    with psycopg.connect(url, autocommit=True) as idler:
        idler.execute("LISTEN news")
        idler.execute("BEGIN")
        idler.execute("SELECT 1")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            fill_the_queue(armed)
        enqueue(armed, functions.add, 1)
        later = functions.add.options(unique=Unique("{left}", on_conflict="replace"), delay=60)
        enqueue(armed, later, 1)
        enqueue(armed, later.options(delay=0), 1)
        notify_queues(armed, ["default"])
        assert scalar(armed, "SELECT count(*) FROM pgjobs.jobs") == 2
        assert "notify_queue" in {finding.name for finding in doctor(armed).findings}


def test_a_transaction_that_enqueues_can_be_prepared(armed: psycopg.Connection) -> None:
    armed.execute("BEGIN")
    job = enqueue(armed, functions.add, 1)
    armed.execute("PREPARE TRANSACTION 'both'")
    armed.execute("COMMIT PREPARED 'both'")
    assert scalar(armed, "SELECT status FROM pgjobs.jobs WHERE id = %s", [job.id]) == "queued"


def test_a_transaction_that_broadcasts_can_be_prepared(armed: psycopg.Connection) -> None:
    worker = put_worker(armed, {"default": 1})
    armed.execute("BEGIN")
    made = broadcast(armed, functions.add, 1)
    armed.execute("PREPARE TRANSACTION 'all'")
    armed.execute("COMMIT PREPARED 'all'")
    assert [run.worker_id for run in show_broadcast(armed, made).runs] == [worker]
