"""Each firing is enqueued once, by the transaction that moves its schedule on."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from pgjobs import UsageError, admin, configure
from pgjobs.db.statements import statement
from pgjobs.schedules.firing import fire_due
from tests.schedules import tasks
from tests.support.rows import row_of
from tests.support.worker import scalar

MINUTE = timedelta(minutes=1)


def due_since(conn: Connection, name: str, ago: str) -> datetime:
    """Make a schedule due since so long ago, at a whole minute, and give that minute; there is time until the next."""
    while scalar(conn, "SELECT extract(second FROM now()) > 55"):
        time.sleep(0.2)
    due: datetime = scalar(
        conn,
        "UPDATE pgjobs.schedules SET next_at = date_trunc('minute', now()) - %s::interval, last_at = NULL "
        "WHERE name = %s RETURNING next_at",
        [ago, name],
    )
    return due


def fired(conn: Connection) -> list[datetime]:
    return [row[0] for row in conn.execute("SELECT run_at FROM pgjobs.jobs ORDER BY id").fetchall()]


def add(conn: Connection, cron: str = "* * * * *", **options: Any) -> admin.ScheduleRow:
    return admin.add_schedule(conn, "sync", cron, tasks.sync, (7,), **options)


def test_a_firing_is_the_job_that_enqueue_would_have_made(conn: Connection) -> None:
    configure(signing_keys=(b"key",))
    admin.add_schedule(
        conn, "sync", "* * * * *", tasks.sync.options(queue="slow", timeout=9, max_attempts=2), (7,), priority=1
    )
    due = due_since(conn, "sync", "0")

    assert fire_due(conn) == 1

    (job,) = [row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs").fetchall()]
    row = row_of(conn, job)
    assert (row["queue"], row["priority"], row["timeout"], row["max_attempts"]) == ("slow", 1, 9, 2)
    assert (row["task"], row["summary"]) == ("tests.schedules.tasks:sync", "sync(7)")
    assert (row["run_at"], row["status"], row["attempt"]) == (due, "queued", 0)
    assert row["signature"] is not None
    schedule = admin.show_schedule(conn, "sync")
    assert (schedule.last_at, schedule.next_at, schedule.last_job_id) == (due, due + MINUTE, job)


def test_what_is_not_due_is_left_alone(conn: Connection) -> None:
    add(conn, "0 0 1 1 *")

    assert fire_due(conn) == 0
    assert fired(conn) == []


@pytest.mark.parametrize(("missed", "count"), [("skip", 1), ("once", 1), ("all", 10)])
def test_missed_firings(conn: Connection, missed: Any, count: int) -> None:
    add(conn, missed=missed)
    due = due_since(conn, "sync", "9 min")

    assert fire_due(conn) == count

    whole = [due + number * MINUTE for number in range(10)]
    assert fired(conn) == whole[10 - count :]
    assert fire_due(conn) == 0


def test_many_missed_firings_come_in_steps_between_which_others_fire(conn: Connection) -> None:
    add(conn, missed="all")
    admin.add_schedule(conn, "other", "* * * * *", tasks.tidy)
    due = due_since(conn, "sync", "150 min")
    due_since(conn, "other", "0")

    assert fire_due(conn) == 101
    assert fire_due(conn) == 51
    assert fire_due(conn) == 0
    assert min(fired(conn)) == due
    assert scalar(conn, "SELECT count(DISTINCT run_at) FROM pgjobs.jobs WHERE summary = 'sync(7)'") == 151


def test_nothing_fires_twice_though_the_row_is_set_back(conn: Connection) -> None:
    """As after the restore of a part, or a clock that was set back."""
    add(conn, missed="all")
    due_since(conn, "sync", "5 min")
    assert fire_due(conn) == 6

    conn.execute("UPDATE pgjobs.schedules SET next_at = next_at - interval '3 min'")

    assert fire_due(conn) == 0
    assert len(set(fired(conn))) == len(fired(conn)) == 6


@pytest.mark.parametrize(
    "state", ["status = 'queued'", "status = 'running', worker_id = 1, started_at = now()"], ids=["queued", "running"]
)
def test_overlap_skip_waits_for_the_last_job(conn: Connection, state: str) -> None:
    add(conn, overlap="skip")
    due_since(conn, "sync", "0")
    assert fire_due(conn) == 1
    conn.execute(f"UPDATE pgjobs.jobs SET {state}".encode())

    again = due_since(conn, "sync", "0")
    assert fire_due(conn) == 0
    schedule = admin.show_schedule(conn, "sync")
    assert schedule.next_at is not None
    assert schedule.next_at > again
    conn.execute("UPDATE pgjobs.jobs SET status = 'completed', finished_at = now(), worker_id = NULL")
    due_since(conn, "sync", "0")

    assert fire_due(conn) == 1


def test_overlap_skip_enqueues_the_last_of_several(conn: Connection) -> None:
    add(conn, overlap="skip", missed="all")
    due = due_since(conn, "sync", "5 min")

    assert fire_due(conn) == 1
    assert fired(conn) == [due + 5 * MINUTE]


def test_a_paused_one_does_not_fire_and_continues_from_now(conn: Connection) -> None:
    add(conn, missed="all")
    assert admin.pause_schedule(conn, "sync")
    due_since(conn, "sync", "5 min")
    assert fire_due(conn) == 0

    assert admin.resume_schedule(conn, "sync")

    assert fire_due(conn) == 0
    schedule = admin.show_schedule(conn, "sync")
    assert schedule.next_at is not None
    assert schedule.next_at > scalar(conn, "SELECT now()")


def test_eight_at_once_enqueue_each_firing_once(conn: Connection, database_url: str) -> None:
    for number in range(5):
        admin.add_schedule(conn, f"sync {number}", "* * * * *", tasks.sync, (number,), missed="all")
        due_since(conn, f"sync {number}", "30 min")
    start = threading.Barrier(8)

    def fire() -> None:
        with psycopg.connect(database_url, autocommit=True) as mine:
            start.wait()
            for _ in range(5):
                fire_due(mine)

    threads = [threading.Thread(target=fire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == 5 * 31
    assert scalar(conn, "SELECT count(*) FROM (SELECT DISTINCT summary, run_at FROM pgjobs.jobs) AS d") == 5 * 31


def test_schedule_locked_by_another_transaction_is_skipped(conn: Connection, database_url: str) -> None:
    add(conn)
    due_since(conn, "sync", "0")
    with psycopg.connect(database_url) as other:
        other.execute(statement("lock_schedule"), {"done": []})

        assert fire_due(conn) == 0
    assert fire_due(conn) == 1


def test_process_that_dies_before_the_end_leaves_nothing_behind(conn: Connection, database_url: str) -> None:
    add(conn)
    due_since(conn, "sync", "0")
    conn.execute("""
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON pgjobs.schedules DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION die()
    """)
    with psycopg.connect(database_url, autocommit=True) as other, pytest.raises(psycopg.OperationalError):
        fire_due(other)
    assert fired(conn) == []
    conn.execute("DROP TRIGGER die ON pgjobs.schedules")

    assert fire_due(conn) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("cron = 'nonsense'", "five fields"),
        ("tz = 'Mars'", "tz="),
        ("columns = jsonb_set(columns, '{priority}', '77')", "priority"),
        ("columns = jsonb_set(columns, '{timeout}', '[1]')", "timeout is a list"),
    ],
    ids=["cron", "zone", "job", "columns"],
)
def test_row_that_cannot_fire_says_why_and_delays_no_other(conn: Connection, change: str, says: str) -> None:
    add(conn)
    admin.add_schedule(conn, "other", "* * * * *", tasks.tidy)
    due_since(conn, "sync", "1 min")
    due_since(conn, "other", "0")
    conn.execute(f"UPDATE pgjobs.schedules SET {change} WHERE name = 'sync'".encode())

    assert fire_due(conn) == 1

    assert says in (admin.show_schedule(conn, "sync").error or "")
    assert fire_due(conn) == 0


def test_where_transactions_are_repeatable_read_it_fires_too(conn: Connection) -> None:
    conn.execute("SET default_transaction_isolation = 'repeatable read'")
    add(conn)
    due_since(conn, "sync", "0")

    assert fire_due(conn) == 1


def test_run_is_not_a_firing(conn: Connection) -> None:
    before = add(conn, "0 0 1 1 *")

    job = admin.run_schedule(conn, "sync")

    assert row_of(conn, job.id)["summary"] == "sync(7)"
    assert admin.show_schedule(conn, "sync") == before


def test_a_schedule_of_an_operator_is_replaced_only_by_wish_and_stays_paused(conn: Connection) -> None:
    add(conn)
    admin.pause_schedule(conn, "sync")
    with pytest.raises(UsageError, match="--replace"):
        add(conn)

    assert add(conn, "0 0 1 1 *", replacing=True).state == "paused"


def test_json_needs_no_import(conn: Connection) -> None:
    admin.add_schedule(conn, "report", "* * * * *", "shop.reports:daily", kwargs={"copy": True}, queue="reports")
    due_since(conn, "report", "0")

    assert fire_due(conn) == 1
    assert conn.execute("SELECT task, payload, queue FROM pgjobs.jobs").fetchone() == (
        "shop.reports:daily",
        b'{"copy": true}',
        "reports",
    )
