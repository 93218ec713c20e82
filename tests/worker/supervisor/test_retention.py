"""History is created ahead and dropped by days, by the first supervisor, and no other waits for it."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs.admin import replay_dead, show_dead, show_job
from pgjobs.db.statements import statement
from pgjobs.worker.supervisor import retention as module
from pgjobs.worker.supervisor.retention import LETTERS, Retention
from tests.support.processes import wait_until
from tests.support.rows import count, put_dead, put_job, row_of
from tests.support.worker import scalar, wait_for, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

TODAY = "(now() AT TIME ZONE 'UTC')::date"


def make_days(conn: Connection, *ago: int) -> None:
    """Make days of history, each with a job in it, and leave the rest to retention."""
    for days in ago:
        conn.execute(f"SELECT pgjobs.create_history_partition({TODAY} - {days})".encode())
        put_finished(conn, days)


def put_finished(conn: Connection, ago: float, **columns: Any) -> int:
    """Insert a job that completed some days ago."""
    moment = scalar(conn, "SELECT now() - %s * interval '1 day'", [ago])
    return put_job(conn, **{"status": "completed", "finished_at": moment, **columns})


def days_of(conn: Connection) -> list[int]:
    """List the days that history has partitions for: how long ago each is, the oldest first."""
    rows = conn.execute(
        f"SELECT {TODAY} - to_date(right(relname, 8), 'YYYYMMDD') FROM pg_inherits JOIN pg_class ON oid = inhrelid "
        "WHERE inhparent = 'pgjobs.jobs_history'::regclass AND relname ~ '\\d{8}$' ORDER BY relname".encode()
    )
    return [row[0] for row in rows]


def part(conn: Connection, ago: int) -> str:
    return str(scalar(conn, f"SELECT 'pgjobs.jobs_history_' || to_char({TODAY} - {ago}, 'YYYYMMDD')"))


def keep(conn: Connection, days: int | None, *, letters: int | None = None) -> None:
    conn.execute(
        "UPDATE pgjobs.retention SET history_days = %s, dead_letter_days = %s, applied_at = NULL", [days, letters]
    )


def apply(conn: Connection) -> None:
    """Take a turn, whichever worker had the last one."""
    conn.execute("UPDATE pgjobs.retention SET applied_at = NULL")
    Retention().work(conn, lambda: False)


@contextmanager
def another(url: str) -> Iterator[Connection]:
    """Another connection, in a transaction."""
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


def test_whole_days_go_when_all_in_them_is_older_than_what_is_kept(conn: Connection) -> None:
    make_days(conn, 40, 9, 8, 7, 6)
    assert scalar(conn, "SELECT history_days FROM pgjobs.retention") == 7
    apply(conn)
    assert days_of(conn) == [7, 6, 0, -1, -2, -3]
    assert count(conn, "jobs") == 2


def test_history_without_a_setting_or_set_to_forever_is_kept(conn: Connection) -> None:
    make_days(conn, 400, 40)
    old = put_finished(conn, 399)
    keep(conn, None)
    apply(conn)
    conn.execute("DELETE FROM pgjobs.retention")
    apply(conn)
    assert days_of(conn)[:2] == [400, 40]
    assert row_of(conn, old)


def test_many_at_once_do_it_once(conn: Connection, database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    make_days(conn, 12, 11, 10, 9)
    for ahead in (0, -1, -2, -3):
        conn.execute(f"DROP TABLE {part(conn, ahead)}".encode())
    together = threading.Barrier(6)

    def one() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            together.wait(10)
            Retention().work(connection, lambda: False)

    with caplog.at_level(logging.INFO, "pgjobs.retention"):
        threads = [threading.Thread(target=one) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert days_of(conn)[-4:] == [0, -1, -2, -3]
        apply(conn)  # if the makers were in the way of the one that drops
    assert days_of(conn) == [0, -1, -2, -3]
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if line.startswith("dropped the day")]) == 4, lines
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_turn_is_taken_once_in_a_while_by_the_first_worker(conn: Connection) -> None:
    apply(conn)
    make_days(conn, 9)
    Retention().work(conn, lambda: False)
    assert days_of(conn)[0] == 9
    conn.execute("UPDATE pgjobs.retention SET applied_at = now() - interval '10 minutes 1 second'")
    Retention().work(conn, lambda: False)
    assert days_of(conn)[0] == 0


def test_who_looks_again_at_once_finds_nothing_to_do(conn: Connection) -> None:
    retention = Retention()
    retention.work(conn, lambda: False)
    make_days(conn, 9)
    conn.execute("UPDATE pgjobs.retention SET applied_at = NULL")
    retention.work(conn, lambda: False)
    assert days_of(conn)[0] == 9


def test_day_that_is_being_read_is_left_for_later_and_does_not_stop_others(conn: Connection, database_url: str) -> None:
    make_days(conn, 11, 10, 9)
    with another(database_url) as reader:
        reader.execute(f"SELECT FROM {part(conn, 10)}".encode())
        apply(conn)
        assert days_of(conn)[0:2] == [10, 0]
    apply(conn)
    assert days_of(conn)[0] == 0


def test_while_all_of_history_is_read_acknowledgements_wait_only_briefly(conn: Connection, database_url: str) -> None:
    make_days(conn, 12, 11, 10, 9)
    stop, waits = threading.Event(), []

    def acknowledge() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not stop.is_set():
                began = time.monotonic()
                put_finished(connection, 0)
                waits.append(time.monotonic() - began)

    with another(database_url) as reader:
        reader.execute("SELECT FROM pgjobs.jobs_history WHERE finished_at > now() - interval '1 hour'")
        thread = threading.Thread(target=acknowledge)
        thread.start()
        try:
            apply(conn)  # not those days, but the lock on all of history is not available
        finally:
            stop.set()
            thread.join(20)
        assert days_of(conn)[:4] == [12, 11, 10, 9]
    assert len(waits) > 1
    assert max(waits) < 2.0
    apply(conn)
    assert days_of(conn)[0] == 0


def test_day_that_cannot_be_dropped_is_logged_and_does_not_stop_others(
    conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    make_days(conn, 11, 10, 9)
    conn.execute(f"CREATE VIEW public.mine AS SELECT * FROM {part(conn, 10)}".encode())
    apply(conn)
    assert days_of(conn)[:2] == [10, 0]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "is not dropped: cannot drop table" in warning


def test_old_rows_of_the_default_partition_go_and_the_others_stay(conn: Connection) -> None:
    old = [put_finished(conn, ago) for ago in (8.5, 30, 4000)]
    young = [put_finished(conn, ago) for ago in (5, 6, 0)]
    conn.execute("INSERT INTO pgjobs.jobs (status, finished_at, task, payload) VALUES ('failed', '-infinity', 'a', '')")
    assert count(conn, "jobs_history_default") == len(old) + 3
    apply(conn)
    assert [row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs ORDER BY id")] == young


def test_many_old_rows_of_the_default_partition_go_in_steps_that_can_be_interrupted(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (status, finished_at, task, payload) "
        "SELECT 'completed', now() - interval '30 days', 'a:b', '' FROM generate_series(1, 2000)"
    )
    monkeypatch.setattr(module, "PAGES", 5)
    retention = Retention()
    left = [count(conn, "jobs_history_default")]
    while left[-1]:
        assert len(left) < 50
        retention.work(conn, lambda: True)
        left.append(count(conn, "jobs_history_default"))
    assert len(set(left)) > 2, left


def test_a_job_that_was_ended_by_hand_without_a_time_has_ended_when_it_is_seen(conn: Connection) -> None:
    job = put_job(conn)
    conn.execute("UPDATE pgjobs.jobs SET status = 'cancelled' WHERE id = %s", [job])
    assert count(conn, "jobs_history_default") == 1
    keep(conn, None)
    apply(conn)
    assert count(conn, "jobs_history_default") == 0
    assert scalar(conn, "SELECT now() - finished_at < interval '1 minute' FROM pgjobs.jobs WHERE id = %s", [job])


def test_jobs_that_finish_before_their_day_is_made_move_into_it(conn: Connection, database_url: str) -> None:
    today = part(conn, 0)
    conn.execute(f"DROP TABLE {today}".encode())
    mine = [put_finished(conn, 0) for _ in range(50)]
    stop = threading.Event()

    def finish() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not stop.is_set():
                mine.append(put_job(connection, status="completed"))

    thread = threading.Thread(target=finish)
    thread.start()
    try:
        Retention().work(conn, lambda: False)
    finally:
        stop.set()
        thread.join(20)
    assert days_of(conn) == [0, -1, -2, -3]
    assert count(conn, "jobs_history_default") == 0
    assert [row[0] for row in conn.execute(f"SELECT id FROM {today} ORDER BY id".encode())] == sorted(mine)


def test_a_day_with_too_many_such_jobs_stays_where_it_is_and_the_next_one_is_made(conn: Connection) -> None:
    for ahead in (0, -1):
        conn.execute(f"DROP TABLE {part(conn, ahead)}".encode())
    conn.execute(
        "INSERT INTO pgjobs.jobs_history (status, finished_at, task, payload, id) "
        "SELECT 'completed', now(), 'a:b', '', n FROM generate_series(1, 20001) AS n"
    )
    Retention().work(conn, lambda: False)
    assert days_of(conn) == [-1, -2, -3]
    assert count(conn, "jobs_history") == count(conn, "jobs_history_default") == 20_001


def test_a_lock_that_stays_stops_neither_the_caller_nor_the_next_look(
    conn: Connection, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    conn.execute(f"DROP TABLE {part(conn, -3)}".encode())
    with another(database_url) as reader:
        reader.execute("SELECT FROM pgjobs.jobs_history_default")
        apply(conn)
        assert days_of(conn) == [0, -1, -2]
    apply(conn)
    assert days_of(conn) == [0, -1, -2, -3]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_broken_connection_is_the_caller_s_business(conn: Connection, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        retention = Retention()
        retention.work(connection, lambda: True)
        conn.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            retention.work(connection, lambda: False)


def test_dead_letters_outlive_their_day_of_history_and_can_be_shown_and_replayed(conn: Connection) -> None:
    make_days(conn, 9)
    moment = scalar(conn, "SELECT now() - interval '9 days'")
    job = put_dead(conn, finished_at=moment)
    apply(conn)
    assert count(conn, "jobs") == 0
    assert show_job(conn, job).status == "failed"
    assert show_dead(conn, job).errors
    assert replay_dead(conn, [job]).done == (job,)
    assert row_of(conn, job)["status"] == "queued"


def test_dead_letters_go_after_a_time_of_their_own_if_one_is_set(conn: Connection) -> None:
    job = put_dead(conn)
    conn.execute(
        "INSERT INTO pgjobs.dead_jobs SELECT (jsonb_populate_record(d, jsonb_build_object("
        "'id', 1000 + n, 'died_at', now() - interval '31 days'))).* FROM pgjobs.dead_jobs AS d, "
        "generate_series(1, %s) AS n",
        [LETTERS + 1],
    )
    apply(conn)
    assert count(conn, "dead_jobs") == LETTERS + 2
    keep(conn, 7, letters=30)
    apply(conn)
    assert [row[0] for row in conn.execute("SELECT id FROM pgjobs.dead_jobs")] == [job]


def test_a_worker_does_it_when_it_starts(conn: Connection, database_url: str) -> None:
    make_days(conn, 9)
    conn.execute(f"DROP TABLE {part(conn, -3)}".encode())
    with work(database_url, ready=False) as running:
        wait_for(conn, f"to_regclass('{part(conn, 9)}') IS NULL", log=lambda: running.output)
    assert days_of(conn) == [0, -1, -2, -3]


def test_another_schema_has_a_retention_of_its_own(conn: Connection, database_url: str) -> None:
    from pgjobs.core.config import configure
    from pgjobs.db import migrations as migrate

    migrate.upgrade(database_url, schema="second")
    make_days(conn, 9)
    conn.execute(f"SELECT second.create_history_partition({TODAY} - 9)".encode())
    configure(schema="second")

    def is_dropped() -> bool:
        Retention().work(conn, lambda: False)  # a second's worth of it: on a busy machine it takes more than one
        return bool(scalar(conn, "SELECT to_regclass(replace(%s, 'pgjobs', 'second')) IS NULL", [part(conn, 9)]))

    wait_until(is_dropped)
    assert conn.execute(statement("missing_history_days"), {"ahead": 3}).fetchall() == []
    assert days_of(conn)[0] == 9
