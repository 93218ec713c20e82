"""What a job returns is kept where it says so, by the statement that completes it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import UsageError, enqueue, job
from pgjobs.admin import keep_completed, retry_jobs
from pgjobs.db.connection import connect_hot
from pgjobs.job_results.encode import decode
from pgjobs.jobs.outcome import COMPLETED, Completed, KeptResult
from pgjobs.worker.executors.outcome_codec import from_bytes, to_bytes
from pgjobs.worker.runtime.completing import complete
from pgjobs.worker.supervisor.retention import RESULT_DAYS_AHEAD, Retention
from tests.support import tasks_results as tasks
from tests.support.acknowledging import acknowledging
from tests.support.claimed import claimed_job
from tests.support.processes import wait_until
from tests.support.rows import count, put_job, put_worker, row_of
from tests.support.tasks import URL
from tests.support.tasks_results import Pdf
from tests.support.worker import drain, scalar

if TYPE_CHECKING:
    from psycopg import Connection


def kept(conn: Connection, id: int) -> Any:
    """Return the result of a job, which has one."""
    rows = conn.execute("SELECT value, is_json, signature FROM pgjobs.results WHERE job_id = %s", [id]).fetchall()
    assert len(rows) == 1, rows
    return decode(id, *rows[0])


def seconds_kept(conn: Connection, id: int) -> float:
    query = "SELECT extract(epoch FROM kept_until - stored_at) FROM pgjobs.results WHERE job_id = %s"
    return float(scalar(conn, query, [id]))


def test_what_jobs_return_is_kept_wherever_they_run_and_however_they_are_held_up(
    database_url: str, conn: Connection
) -> None:
    keep_completed(conn, "brief", False)
    expected: dict[int, Any] = {}
    functions: tuple[Any, ...] = (
        *(tasks.render, tasks.render_in_time, tasks.render_apart),
        *(tasks.fetch, tasks.fetch_in_time, tasks.fetch_in_thread),
        *(tasks.render.options(queue="brief"), partial(tasks.render)),
    )
    for number, function in enumerate(functions):
        expected[enqueue(conn, function, number).id] = Pdf(number)
    for number in range(5):
        controlled: tuple[Any, ...] = (tasks.in_sequence, tasks.in_limit, tasks.behind_breaker)
        expected |= {enqueue(conn, function, number).id: number for function in controlled}
    first = enqueue(conn, tasks.in_sequence, 7)
    expected |= {first.id: 7, enqueue(conn, tasks.in_sequence.options(after=first), 8).id: 8}
    needed = enqueue(conn, tasks.render, 9)
    expected |= {needed.id: Pdf(9), enqueue(conn, tasks.render.options(after=needed), 10).id: Pdf(10)}
    expected[enqueue(conn, tasks.nothing).id] = None
    expected[enqueue(conn, tasks.after_two_tries).id] = 2
    for value in (None, 1, "x", [1, {"a": "é"}], {"b": 1.5}):
        expected[enqueue(conn, tasks.as_json, value).id] = value
    hour = enqueue(conn, tasks.keep_nothing.options(result=3600), 3)
    json_hour = enqueue(conn, tasks.as_json.options(result=timedelta(minutes=1)), value="named")
    within = enqueue(conn, tasks.complete_itself, 4)
    expected |= {hour.id: 3, json_hour.id: "named", within.id: 4}
    none = [
        enqueue(conn, tasks.keep_nothing, 3).id,
        enqueue(conn, tasks.render.options(result=False), 3).id,
        enqueue(conn, tasks.as_json.options(result=None), 3).id,
        enqueue(conn, max, 1, 2).id,
    ]
    drain(database_url, "-q", "brief:4", "-q", "default:4", env={URL: database_url})
    assert {each: kept(conn, each) for each in expected} == expected
    assert count(conn, "results") == len(expected)
    assert not scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status <> 'completed'")
    assert {row_of(conn, each)["status"] for each in none} == {"completed"}
    assert seconds_kept(conn, needed.id) == 86_400
    assert seconds_kept(conn, hour.id) == 3_600
    assert seconds_kept(conn, json_hour.id) == 60
    # What is in JSON is read in SQL, too.
    assert scalar(conn, "SELECT pgjobs.result(%s)", [json_hour.id]) == "named"
    assert scalar(conn, "SELECT pgjobs.result(%s)", [none[0]]) is None
    # Workers have made the days ahead.
    assert not scalar(conn, "SELECT count(*) FROM pgjobs.results_default")


def test_what_cannot_be_kept_fails_the_attempt_for_good(database_url: str, conn: Connection) -> None:
    words = {
        enqueue(conn, tasks.text_of, 2000).id: "ResultTooLargeError: what tests.support.tasks_results:text_of returned",
        enqueue(conn, tasks.text_apart, 2000).id: "ResultTooLargeError: what tests.support.tasks_results:text_apart",
        enqueue(conn, tasks.a_lock).id: "ResultError: what tests.support.tasks_results:a_lock returned cannot be kept",
        enqueue(conn, tasks.a_lock_apart).id: "ResultError: what tests.support.tasks_results:a_lock_apart",
        enqueue(conn, tasks.not_in_json).id: "ResultError: what tests.support.tasks_results:not_in_json returned is",
    }
    fits = enqueue(conn, tasks.text_of, 900).id
    drain(database_url, env={"PGJOBS_RESULT_MAX_BYTES": "1000"})
    for each, words_of_it in words.items():
        row = row_of(conn, each)
        assert (row["status"], row["attempt"]) == ("failed", 1), row
        assert row["error"].startswith(words_of_it), row["error"]
    assert kept(conn, fits) == "x" * 900
    assert count(conn, "results") == 1


def test_an_acknowledgement_that_is_stale_writes_no_result(database_url: str, conn: Connection) -> None:
    result = KeptResult(b"1", True, 60.0)
    ours = put_job(conn, status="running", worker_id=7, claims=1)
    others = put_job(conn, status="running", worker_id=8, claims=1)
    again = put_job(conn, status="running", worker_id=7, claims=2)
    ids = [ours, others, again]
    with connect_hot(database_url, application_name="late") as connection, connection.cursor() as cursor:
        assert complete(cursor, 7, ids, [1, 1, 1], results=dict.fromkeys(ids, result)) == [others, again]
    assert conn.execute("SELECT job_id FROM pgjobs.results").fetchall() == [(ours,)]
    assert {row_of(conn, each)["status"] for each in (others, again)} == {"running"}


@pytest.mark.parametrize("lane", [None, "\x1f\x1fs\x1f", "\x1fk\x1f\x1f"])  # with these it is handed over
@pytest.mark.parametrize("table", ["results", "jobs_history"])
def test_a_result_that_is_kept_out_keeps_its_job_as_well(
    database_url: str, conn: Connection, table: str, lane: str | None
) -> None:
    conn.execute("CREATE FUNCTION public.mute() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    conn.execute(f"CREATE TRIGGER mute BEFORE INSERT ON pgjobs.{table} FOR EACH ROW EXECUTE FUNCTION public.mute()")
    worker = put_worker(conn, {"default": 1})
    job = put_job(conn, status="running", worker_id=worker, claims=1)
    with acknowledging(database_url, worker) as ack:
        ack.local_queue.claim_stats.spare = True
        ack.put({job: Completed(KeptResult(b"1", True, 60.0))}, lane=lane)
    assert row_of(conn, job)["status"] == "running"
    assert count(conn, "results") == 0


def test_a_job_that_is_run_again_forgets_what_it_returned(database_url: str, conn: Connection) -> None:
    job = put_job(conn, status="completed")
    conn.execute(
        "INSERT INTO pgjobs.results (job_id, kept_until, is_json, value) VALUES (%s, 'infinity', true, '1')", [job]
    )
    assert retry_jobs(conn, [job]).done == (job,)
    assert count(conn, "results") == 0


@pytest.mark.parametrize("wrong", [0, -1, "1 h", float("nan"), 1e12])
def test_how_long_a_result_is_kept_has_to_be_a_time(wrong: Any) -> None:
    with pytest.raises(UsageError, match="result="):
        job(result=wrong)(len)


def test_a_result_is_written_once_its_job_is_free(database_url: str, conn: Connection) -> None:
    """A transaction of others has locked the row: the acknowledgement is made in two steps, and tried again."""
    worker = put_worker(conn, {"default": 1})
    job = put_job(conn, status="running", worker_id=worker, claims=1)
    with acknowledging(database_url, worker) as ack:
        with conn.transaction():
            conn.execute("SELECT FROM pgjobs.jobs WHERE id = %s FOR UPDATE", [job])
            ack.put({job: Completed(KeptResult(b"1", True, 60.0))})
            wait_until(lambda: bool(ack.local_queue.held))
        wait_until(lambda: count(conn, "results") == 1)
    assert row_of(conn, job)["status"] == "completed"


def test_results_expire_and_their_days_are_dropped(conn: Connection) -> None:
    conn.execute("SELECT pgjobs.create_results_partition((now() AT TIME ZONE 'UTC')::date - 1)")
    for until in ("-1 day", "-1 year", "1 hour", "1 year"):
        conn.execute(
            "INSERT INTO pgjobs.results (job_id, kept_until, is_json, value) "
            "VALUES (1, now() + %s::interval, true, '1')",
            [until],
        )
    assert count(conn, "results_default") == 3
    retention = Retention()
    retention.work(conn, lambda: False)
    left = conn.execute(
        "SELECT tableoid::regclass::text ~ '_default$', kept_until < now() + interval '1 day' "
        "FROM pgjobs.results ORDER BY 1"
    )
    assert left.fetchall() == [(False, True), (True, False)]
    days = scalar(conn, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'pgjobs.results'::regclass")
    assert days == RESULT_DAYS_AHEAD + 2  # with today and the default partition


@pytest.mark.parametrize(
    "answer",
    [
        b'["Completed", {"seconds": 60.0, "is_json": 1}]\0x',
        b'["Completed", {"seconds": NaN, "is_json": true}]\0x',
        b'["Completed", {"seconds": 1e12, "is_json": true}]\0x',
        b'["Snoozed", {"seconds": 60.0, "is_json": true}]\0x',
        b'["Completed", {"seconds": 60.0}]\0x',
        b'["Completed", {"seconds": 60.0, "is_json": true}]\0' + b"x" * 2_000_000,
        b'["Completed", {"result": {}}]',
    ],
)
def test_a_child_cannot_send_what_a_worker_could_not_keep(answer: bytes) -> None:
    with pytest.raises(ValueError, match="not an outcome"):
        from_bytes(answer, claimed_job())


def test_a_result_comes_back_from_a_child_as_it_is() -> None:
    outcome = Completed(KeptResult(b"a\0b", False, 60.0))
    assert from_bytes(to_bytes(outcome), claimed_job()) == outcome
    assert from_bytes(to_bytes(COMPLETED), claimed_job()) is COMPLETED
