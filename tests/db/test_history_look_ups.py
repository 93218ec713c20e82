"""Looking for ended jobs costs no more locks where history is long, and a day has what the others have."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.types.json import Jsonb

from pgjobs import enqueue
from pgjobs.admin import JobSelection, count_jobs, list_jobs, replay_dead, retry_jobs, show_job, show_status, why
from pgjobs.db.dependencies import settle_dependencies
from pgjobs.db.statements import statement
from pgjobs.db.stuck_jobs import stuck_jobs
from pgjobs.diagnose.doctor import doctor
from tests.support import functions
from tests.support.processes import wait_until
from tests.support.rows import put_dead, put_job
from tests.support.worker import scalar

if TYPE_CHECKING:
    from collections.abc import Callable

DAYS = 40
MOST = 170  # locks: the doctor has 141 of its tables; without the bound each day costs three more


@pytest.fixture
def ended(conn: psycopg.Connection) -> int:
    """A job that ended a month ago, in a history where each day has one."""
    conn.execute(
        "SELECT pgjobs.create_history_partition((now() AT TIME ZONE 'UTC')::date - n) FROM generate_series(1, %s) AS n",
        [DAYS],
    )
    conn.execute(
        "INSERT INTO pgjobs.jobs (task, payload, status, finished_at)"
        " SELECT 'm:f', '', 'cancelled', now() - n * interval '1 day' FROM generate_series(1, %s) AS n",
        [DAYS],
    )
    return int(scalar(conn, "SELECT id FROM pgjobs.jobs ORDER BY finished_at OFFSET 10 LIMIT 1"))


def _settle(conn: psycopg.Connection, job: int) -> None:
    enqueue(conn, functions.add.options(after=[job]), 1)
    with conn.cursor() as cursor:
        settle_dependencies(cursor)


def _not_completed(conn: psycopg.Connection, job: int) -> None:
    conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    values = {"ids": [job], "claim_numbers": [1], "worker_id": 1}
    assert conn.execute(statement("not_completed"), values).fetchall() == [(job,)]


WAYS: dict[str, Callable[[psycopg.Connection, int], object]] = {
    "enqueue after it": lambda conn, job: enqueue(conn, functions.add.options(after=[job]), 1),
    "settle what waits for it": _settle,
    "acknowledge": _not_completed,
    "show": show_job,
    "retry": lambda conn, job: retry_jobs(conn, [job]),
    "retry nothing": lambda conn, job: retry_jobs(conn, [job + 1_000_000]),
    "status": lambda conn, job: show_status(conn),
    "why": why,
    "why what waits for it": lambda conn, job: why(conn, enqueue(conn, functions.add.options(after=[job]), 1)),
    "doctor": lambda conn, job: doctor(conn),
    "stuck": lambda conn, job: stuck_jobs(conn, needs=[job]),
    "list": lambda conn, job: list_jobs(conn),
    "list what has ended": lambda conn, job: list_jobs(conn, status="cancelled", task="m:f", queue="default"),
    "retry all of a task": lambda conn, job: retry_jobs(conn, JobSelection(task="m:g", statuses=("cancelled",))),
    "count": lambda conn, job: count_jobs(conn, JobSelection(task="m:g")),
    "replay": lambda conn, job: replay_dead(conn, [job]),
}


def test_nothing_that_looks_for_one_job_locks_all_days(database_url: str, conn: psycopg.Connection, ended: int) -> None:
    dead = put_dead(conn)
    locks = {}
    for name, way in WAYS.items():
        with psycopg.connect(database_url) as other:
            other.execute("SELECT 1")  # what follows is a part of this transaction, whose end lets locks go
            way(other, dead if name == "replay" else ended)
            locks[name] = scalar(other, "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()")
            other.rollback()
    assert {name: count for name, count in locks.items() if count > MOST} == {}


def test_a_search_lets_locks_go_on_its_way(database_url: str, conn: psycopg.Connection, ended: int) -> None:
    day = scalar(
        conn, "SELECT 'pgjobs.jobs_history_' || to_char((now() AT TIME ZONE 'UTC') - interval '38 d', 'YYYYMMDD')"
    )
    searches = {
        "find": "SELECT * FROM pgjobs.find_ended(ARRAY[2000000000])",
        "list": "SELECT * FROM pgjobs.list_ended(NULL, 'none', NULL, NULL, 50)",
        "count": "SELECT * FROM pgjobs.count_ended(ARRAY['failed'], NULL, NULL)",
        "select": "SELECT * FROM pgjobs.select_ended(ARRAY['failed'], NULL, NULL, 0, 2000000000, 50)",
    }
    held = {}
    for name, search in searches.items():
        with psycopg.connect(database_url) as holder, psycopg.connect(database_url) as other:
            holder.execute(f"LOCK TABLE {day} IN ACCESS EXCLUSIVE MODE".encode())
            searching = Thread(target=other.execute, args=(search.encode(),))
            searching.start()
            pid = other.info.backend_pid
            wait_until(lambda: scalar(conn, "SELECT cardinality(pg_blocking_pids(%s))", [pid]))  # noqa: B023 (at once)
            held[name] = scalar(conn, "SELECT count(*) FROM pg_locks WHERE pid = %s", [pid])
            holder.rollback()
            searching.join()
    assert {name: count for name, count in held.items() if count > 16 * 3 + 20} == {}, "of 38 days, three for each"


def test_a_listing_has_the_newest_of_all_days(conn: psycopg.Connection, ended: int) -> None:
    put_job(conn, id=ended + 1000, status="completed", finished_at="2999-01-01")
    put_job(conn, id=ended + 999, status="completed", finished_at=None, meta=Jsonb({"a": 1}), error="é")
    put_job(conn, id=ended + 998)
    expected = [row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs ORDER BY id DESC")]
    for size in (1, 2, 20, 1000):
        pages: list[int] = []
        while page := list_jobs(conn, limit=size, before=pages[-1] if pages else None):
            pages += [job.id for job in page]
            assert len(page) <= size
            if size == 1 and len(pages) == 5:
                break
        assert pages == expected[: len(pages)]
    assert len(pages) == len(expected)
    assert list_jobs(conn)[1].meta == {"a": 1}
    assert [job.id for job in list_jobs(conn, status="completed")] == [ended + 1000, ended + 999]
    assert list_jobs(conn, status="queued", task="shop.*")[0].id == ended + 998
    assert count_jobs(conn, JobSelection(task="m:f", statuses=("cancelled",))) == DAYS
    assert len(retry_jobs(conn, JobSelection(statuses=("cancelled",))).done) == DAYS


def test_an_ended_job_is_found_whatever_its_day(conn: psycopg.Connection, ended: int) -> None:
    by_hand = put_job(conn, status="completed", finished_at=None)
    far = put_job(conn, status="completed", finished_at="2999-01-01")
    today = put_job(conn, status="completed")
    for job in (ended, by_hand, far, today):
        assert show_job(conn, job).id == job
    assert enqueue(conn, functions.add.options(after=[by_hand, far, today]), 1).id
    retry_jobs(conn, [ended, by_hand, far])
    for job in (ended, by_hand, far):
        assert show_job(conn, job).status == "queued"


def test_the_newest_of_two_jobs_with_one_id_is_meant_and_the_other_one_stays(conn: psycopg.Connection) -> None:
    old = put_job(conn, status="cancelled", finished_at="2001-01-01", summary="old")
    put_job(conn, id=old, status="cancelled", summary="new", enqueued_at="2002-01-01")
    assert show_job(conn, old).summary == "new"
    assert retry_jobs(conn, [old]).done == (old,)
    rows = conn.execute("SELECT summary, status FROM pgjobs.jobs ORDER BY summary").fetchall()
    assert rows == [("new", "queued"), ("old", "cancelled")]


def test_every_table_takes_changes_where_a_publication_contains_all(conn: psycopg.Connection, ended: int) -> None:
    conn.execute("CREATE PUBLICATION capture FOR ALL TABLES")
    conn.execute("SELECT pgjobs.create_history_partition((now() AT TIME ZONE 'UTC')::date + 4)")
    conn.execute("UPDATE pgjobs.retention SET applied_at = now()")
    conn.execute("DELETE FROM pgjobs.jobs_history_default")
    retry_jobs(conn, [ended])
    assert "no_replica_identity" not in {finding.name for finding in doctor(conn).findings}
    conn.execute("ALTER TABLE pgjobs.jobs_history_default REPLICA IDENTITY NOTHING")
    (finding,) = [finding for finding in doctor(conn).findings if finding.name == "no_replica_identity"]
    assert finding.facts == {"tables": ["jobs_history_default"]}


def test_who_may_read_history_may_read_the_days_to_come(conn: psycopg.Connection) -> None:
    role = f"reader_{conn.info.backend_pid}"
    conn.execute(f"CREATE ROLE {role}; GRANT SELECT ON pgjobs.jobs_history TO {role}")
    try:
        conn.execute("SELECT pgjobs.create_history_partition((now() AT TIME ZONE 'UTC')::date + 4)")
        day = scalar(conn, "SELECT 'pgjobs.jobs_history_' || to_char((now() AT TIME ZONE 'UTC') + '4 d', 'YYYYMMDD')")
        assert scalar(conn, f"SELECT has_table_privilege('{role}', '{day}', 'SELECT')")
        assert not scalar(conn, f"SELECT has_table_privilege('{role}', '{day}', 'UPDATE')")
    finally:
        conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
