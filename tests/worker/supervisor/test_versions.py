"""Workers whose tables become those of another version finish what runs, hand back the rest, and end."""

from __future__ import annotations

import time

import psycopg
import pytest

from pgjobs import enqueue
from pgjobs.db.revision import EXPECTED_REVISION
from tests.support import tasks
from tests.support.rows import count, row_of
from tests.support.worker import wait_for, work
from tests.worker.supervisor.test_rescue import claim_more_than_runs

pytestmark = pytest.mark.in_turns(3)

NEWER = f"{int(EXPECTED_REVISION) + 1:04}"
OLDER = f"{int(EXPECTED_REVISION) - 1:04}"


def set_revision(conn: psycopg.Connection, revision: str) -> None:
    conn.execute("UPDATE pgjobs.migrations SET version_num = %s", [revision])


@pytest.mark.parametrize(
    ("revision", "code", "words"), [(NEWER, 3, "newer"), (OLDER, 1, "older")], ids=["migrate", "downgrade"]
)
def test_a_worker_that_runs_leaves_when_its_tables_are_of_another_version(
    database_url: str, conn: psycopg.Connection, revision: str, code: int, words: str
) -> None:
    with work(database_url, "-q", "default:2", "--heartbeat", 0.5, env={tasks.URL: database_url}) as running:
        jobs = claim_more_than_runs(conn, seconds=3.0)
        set_revision(conn, revision)
        late = enqueue(conn, tasks.nothing.options(priority=0)).id
        wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.workers)", log=lambda: running.output)
        assert running.wait() == code
        assert running.remains() == []
        lines = [line for line in running.output.splitlines() if f"are {words} ({revision})" in line]
    assert len(lines) == 2, "one when it notices, and the last one"
    assert [row_of(conn, job)["status"] for job in jobs] == ["completed"] * 2 + ["queued"] * 10, "what ran has ended"
    assert row_of(conn, late)["status"] == "queued"


def test_a_drain_leaves_too(database_url: str, conn: psycopg.Connection) -> None:
    enqueue(conn, tasks.nap, 3.0)
    last = enqueue(conn, tasks.nothing).id
    with work(database_url, "-q", "default:1", "--heartbeat", 0.5, "--drain") as running:
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: running.output)
        set_revision(conn, NEWER)
        assert running.wait() == 3
    assert row_of(conn, last)["status"] == "queued"


def test_nothing_is_rescued_removed_or_enqueued_with_the_statements_of_another_version(
    database_url: str, conn: psycopg.Connection
) -> None:
    conn.execute("UPDATE pgjobs.retention SET applied_at = NULL")
    with work(database_url, "-q", "default:1", "--heartbeat", 0.3, "--rescue-after", 1, "--grace", 4) as running:
        job = enqueue(conn, tasks.nap, 600.0).id
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')", log=lambda: running.output)
        set_revision(conn, NEWER)
        time.sleep(1.5)
        conn.execute("UPDATE pgjobs.retention SET applied_at = NULL")
        conn.execute(
            "INSERT INTO pgjobs.workers (host, pid, queues, version, heartbeat_at)"
            " VALUES ('gone', 1, '{}', '0', now() - interval '1 hour')"
        )
        assert running.wait() == 3
    assert count(conn, "workers") == 1, "another version rescues what is left of that one"
    assert row_of(conn, job)["status"] == "queued", "handed back after the grace"


@pytest.mark.parametrize(("revision", "code"), [(NEWER, 3), (OLDER, 1)])
def test_a_worker_that_is_started_says_the_same(
    database_url: str, conn: psycopg.Connection, revision: str, code: int
) -> None:
    set_revision(conn, revision)
    with work(database_url) as running:
        assert running.wait() == code
