"""The minutes: what supervisors add up of their processes, and how queues stood at the end of each minute."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

from pgjobs import admin, enqueue
from pgjobs.jobs.outcome import COMPLETED as DONE
from pgjobs.jobs.outcome import Retried
from pgjobs.worker.local.counts import COMPLETED, SUM, Counts
from pgjobs.worker.supervisor import minutes as module
from pgjobs.worker.supervisor.counts import SupervisorCounts
from pgjobs.worker.supervisor.minutes import Minutes, Row, rows_of
from pgjobs.worker.supervisor.retention import Retention
from tests.support import functions
from tests.support.claimed import claimed_job
from tests.support.rows import count, put_job
from tests.support.worker import drain, scalar

if TYPE_CHECKING:
    from psycopg import Connection

    from pgjobs.worker.supervisor.worker_handle import WorkerHandle

NUMBERS = "queue, task, completed, retried"


class Process:
    """A process as `SupervisorCounts` sees it."""

    worker_id = 1

    def __init__(self) -> None:
        self.counts = Counts(every_job=False)

    def end(self, jobs: int, queue: str = "mail", task: str = "a:b", seconds: float = 0.02) -> None:
        self.counts.completed([(claimed_job(n, queue=queue, task=task), DONE, seconds) for n in range(jobs)], [], set())

    def read_counts(self) -> bytes:
        return json.dumps(self.counts.snapshot([])).encode()


class Host:
    """A supervisor with one process."""

    def __init__(self, *, totals: bool = True) -> None:
        self.counts, self.process = SupervisorCounts(), Process()
        self.counts.add(cast("WorkerHandle", self.process))
        self.minutes = Minutes(self.counts.sums, totals=totals)

    def replace(self) -> None:
        """Have another process in the place of this one."""
        self.counts.remove(cast("WorkerHandle", self.process))
        self.process = Process()
        self.counts.add(cast("WorkerHandle", self.process))

    def work(self, conn: Connection) -> None:
        """Do what is due after a minute."""
        self.minutes._next = 0.0
        self.minutes.work(conn)


def rows(conn: Connection, columns: str = NUMBERS) -> list[tuple[Any, ...]]:
    return conn.execute(
        f"SELECT {columns} FROM pgjobs.queue_minutes WHERE task <> '' OR queue <> '' ORDER BY queue, task".encode()
    ).fetchall()


def test_supervisors_add_to_the_same_rows_and_nothing_is_added_twice(conn: Connection) -> None:
    one, two = Host(), Host()
    one.process.end(3)
    two.process.end(4)
    two.process.counts.settled([(claimed_job(9, queue="mail"), Retried("no", 1.0), 0.1)])
    for host in (one, two, one, two):
        host.minutes.write(conn)
    assert rows(conn) == [("mail", "", 7, 1), ("mail", "a:b", 7, 1)]
    one.process.end(10)
    one.minutes.write(conn)
    assert rows(conn) == [("mail", "", 17, 1), ("mail", "a:b", 17, 1)]
    whole = conn.execute(
        "SELECT completed, retried FROM pgjobs.queue_minutes WHERE queue = '' AND task = ''"
    ).fetchone()
    assert whole == (17, 1)


def test_totals_stay_when_a_process_and_its_supervisor_are_replaced(conn: Connection) -> None:
    host = Host()
    host.process.end(2)
    host.minutes.write(conn)
    host.process.end(3)
    host.replace()
    host.process.end(4)
    host.minutes.write(conn)
    again = Host()
    again.process.end(5)
    again.minutes.write(conn)
    assert conn.execute("SELECT queue, task, completed FROM pgjobs.finished_totals").fetchall() == [("mail", "a:b", 14)]


def test_what_a_supervisor_serves_itself_is_in_no_total(conn: Connection) -> None:
    host = Host(totals=False)
    host.process.end(2)
    host.minutes.write(conn)
    assert count(conn, "finished_totals") == 0
    assert rows(conn) == [("mail", "", 2, 0), ("mail", "a:b", 2, 0)]


def test_one_supervisor_looks_at_the_queues_and_idle_ones_have_no_row(conn: Connection) -> None:
    past = datetime.now(UTC) - timedelta(seconds=100)
    put_job(conn, queue="late", run_at=past)
    put_job(conn, queue="later", run_at=datetime.now(UTC) + timedelta(hours=1))
    put_job(conn, queue="busy", status="running", worker_id=1)
    conn.execute("INSERT INTO pgjobs.queues (name) VALUES ('idle')")
    hosts = Host(), Host()
    for host in hosts:
        host.work(conn)
    found = {row[0]: row[1:] for row in rows(conn, "queue, due, running, latency")}
    assert found.keys() == {"busy", "late"}
    assert found["busy"] == (0, 1, None)
    assert found["late"][:2] == (1, 0)
    assert 99 < found["late"][2] < 200
    conn.execute("DELETE FROM pgjobs.queue_minutes WHERE queue <> ''")
    for host in hosts:
        host.work(conn)
    minutes = scalar(conn, "SELECT count(*) FROM pgjobs.queue_minutes WHERE sampled")
    assert len(rows(conn)) in (0, 2 * (minutes - 1)), "it was looked at again, although not a minute has passed"
    assert scalar(conn, "SELECT max(enqueued) FROM pgjobs.queue_minutes") >= 3


def test_minute_is_the_one_before_and_the_next_look_is_after_the_next_one(conn: Connection) -> None:
    host = Host()
    host.process.end(1)
    host.work(conn)
    age = scalar(conn, "SELECT extract(epoch FROM now() - max(minute))::float8 FROM pgjobs.queue_minutes")
    assert 59 < age < 125
    left = host.minutes._next - time.monotonic()
    assert abs(left - (121 - age if age < 121 else 60)) < 3


def test_what_the_server_refuses_ends_no_maintenance(conn: Connection, caplog: pytest.LogCaptureFixture) -> None:
    host = Host()
    host.process.end(1)
    conn.execute("ALTER TABLE pgjobs.queue_minutes RENAME TO other")
    host.work(conn)
    assert "this minute is not written" in caplog.text
    assert host.minutes._next > time.monotonic() + 3000
    conn.execute("ALTER TABLE pgjobs.other RENAME TO queue_minutes")
    host.work(conn)
    assert rows(conn) == [("mail", "", 1, 0), ("mail", "a:b", 1, 0)], "what was counted meanwhile is lost"


def test_at_the_end_of_a_supervisor_a_refusal_is_logged_and_not_waited_out(
    conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host()
    host.process.end(1)
    conn.execute("ALTER TABLE pgjobs.queue_minutes RENAME TO other")
    host.minutes.write_rest(conn)
    assert "this minute is not written" in caplog.text


def test_a_minute_that_a_lock_has_kept_from_being_written_is_tried_again_at_the_next(
    conn: Connection, database_url: str
) -> None:
    host = Host()
    host.process.end(1)
    conn.execute("SET lock_timeout = '20ms'")
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE pgjobs.queue_minutes IN ACCESS EXCLUSIVE MODE")
        host.work(conn)
    assert rows(conn) == []
    assert host.minutes._next < time.monotonic() + 70
    host.work(conn)
    assert rows(conn) == [("mail", "", 1, 0), ("mail", "a:b", 1, 0)]


def test_thousand_queues_and_many_tasks_have_a_bounded_number_of_rows() -> None:
    process = Process()
    for number in range(1_200):
        process.end(1, f"q{number:04}", f"a:t{number % 300}")
    found = rows_of(process.counts.snapshot([]), 60.0)
    assert len([row for row in found if row.queue and not row.task]) == 1_000
    assert len([row for row in found if row.task]) == module.MAX_TASKS
    assert found[0] == found[0]._replace(queue="", task="", completed=1_000)


def test_times_are_those_of_one_job_of_each_batch_and_the_mean_of_slots_is_of_the_minute() -> None:
    process = Process()
    process.end(100, seconds=0.02)
    process.end(1, seconds=3.0)
    counted = {**process.counts.snapshot([]), "busy": {"mail": [90.0], "idle": [0.1]}, "slots": {"mail": [4, 1]}}
    whole, mail, task = rows_of(counted, 60.0)
    assert (mail.completed, mail.slots, mail.busy) == (101, 4.0, 1.5)
    assert sum(mail.runs) == 2
    assert mail.run_seconds == pytest.approx(3.02)
    assert (whole.busy, task.slots, task.runs) == (1.5, 0.0, mail.runs)


def test_nothing_counted_makes_none() -> None:
    assert rows_of(Counts(every_job=False).snapshot([]), 60.0) == []
    assert not Row("mail").ended


def test_histograms_of_unequal_length_are_added_place_by_place(conn: Connection) -> None:
    for seconds in (0.02, 3.0):
        host = Host()
        host.process.end(1, seconds=seconds)
        host.minutes.write(conn)
    ((runs,),) = conn.execute("SELECT runs FROM pgjobs.queue_minutes WHERE queue = 'mail' AND task = ''").fetchall()
    assert runs == [0, 0, 1, 0, 0, 0, 0, 0, 0, 1]


def test_queue_whose_jobs_were_not_timed_is_written_beside_one_with_times(conn: Connection) -> None:
    untimed, timed = [0] * (COMPLETED + 4), [0.0] * (COMPLETED + 4)
    untimed[COMPLETED], timed[COMPLETED], timed[SUM] = 3, 2, 0.5
    Minutes(lambda: {"tasks": {"a": {"x:y": untimed}, "b": {"x:y": timed}}}, totals=True).write(conn)

    rows = conn.execute("SELECT queue, completed, run_seconds FROM pgjobs.queue_minutes WHERE task <> '' ORDER BY 1")
    assert rows.fetchall() == [("a", 3, 0.0), ("b", 2, 0.5)]


def test_days_are_made_ahead_and_dropped_with_the_days(conn: Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs.queue_minutes (minute, queue) VALUES (now(), 'now'), (now() - '9 days'::interval, 'old')"
    )
    conn.execute("SELECT pgjobs.create_minutes_partition((now() - interval '8 days')::date)")
    conn.execute("INSERT INTO pgjobs.queue_minutes (minute, queue) VALUES (now() - interval '8 days', 'day')")
    conn.execute("UPDATE pgjobs.retention SET applied_at = NULL")
    Retention().work(conn, lambda: False)
    days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'pgjobs.queue_minutes'::regclass"
    assert scalar(conn, days) == 3  # today, tomorrow, and the default one
    assert [row[0] for row in conn.execute("SELECT queue FROM pgjobs.queue_minutes")] == ["now"]
    assert count(conn, "queue_minutes_default") == 0
    admin.keep_minutes(conn, 30)
    assert admin.show_retention(conn).minute_days == 30


def test_supervisors_at_once_lock_each_other_up_never(conn: Connection, database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        one, two = Host(), Host()
        for queue in ("b", "a"):
            one.process.end(1, queue)
        for queue in ("a", "b"):
            two.process.end(1, queue)
        assert [row.queue for row in one.minutes._rows(one.counts.sums())][:3] == ["", "a", "b"]
        one.minutes.write(other)
        other.commit()
        two.minutes.write(conn)
    assert [row[2] for row in rows(conn)] == [2, 2, 2, 2]


def test_what_a_drain_did_is_in_the_totals_when_it_ends(conn: Connection, database_url: str) -> None:
    for number in range(5):
        enqueue(conn, functions.add, number)
    drain(database_url)
    assert conn.execute("SELECT queue, task, completed FROM pgjobs.finished_totals").fetchall() == [
        ("default", "tests.support.functions:add", 5)
    ]
    assert scalar(conn, "SELECT sum(completed) FROM pgjobs.queue_minutes WHERE queue = '' AND task = ''") == 5
