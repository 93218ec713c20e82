from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs.admin import JobSelection, cancel_jobs, job_actions, list_jobs, replay_dead, retry_jobs, show_job
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.db import query
from pgjobs.db.statements import doorbell_channel
from tests.support.rows import ERRORS, count, letters_of, put_dead, put_job, put_worker, row_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from pgjobs.admin import Change

SOON = datetime.now(UTC) + timedelta(hours=1)


def test_jobs_are_listed_newest_first_whatever_their_status(conn: Connection) -> None:
    first = put_job(conn)
    second = put_job(conn, status="completed")
    third = put_job(conn, status="running", worker_id=1)
    assert [job.id for job in list_jobs(conn)] == [third, second, first]


def test_a_listing_continues_before_the_last_id_of_a_page(conn: Connection) -> None:
    ids = [put_job(conn) for _ in range(5)]
    page = list_jobs(conn, limit=2)
    assert [job.id for job in page] == [ids[4], ids[3]]
    assert [job.id for job in list_jobs(conn, limit=2, before=page[-1].id)] == [ids[2], ids[1]]


def test_a_listing_can_be_of_one_status_and_queue(conn: Connection) -> None:
    wanted = put_job(conn, queue="mail", status="failed")
    put_job(conn, queue="mail")
    put_job(conn, queue="other", status="failed")
    assert [job.id for job in list_jobs(conn, queue="mail", status="failed")] == [wanted]


def test_a_listing_can_be_of_jobs_with_a_text_in_their_call_or_their_error(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgjobs.admin.jobs.PAGE", 2)
    first = put_job(conn, summary="send(42, copy=True)", status="failed", error="TimeoutError: 100 % of _crm_")
    second = put_job(conn, summary="send(4, copy=True)", status="failed", error="KeyError: 42")
    assert [put_job(conn) for _ in range(2)]
    assert [job.id for job in list_jobs(conn, call="copy", limit=1)] == [second], "and not the other one of its page"
    assert [job.id for job in list_jobs(conn, call="SEND(42")] == [first]
    assert [job.id for job in list_jobs(conn, call="copy=", error="keyerror")] == [second]
    assert [job.id for job in list_jobs(conn, error="100 % of _")] == [first]


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ("shop.tasks:send", ["shop.tasks:send"]),
        ("shop.tasks", ["shop.tasks:send", "shop.tasks:send_all"]),
        ("shop", ["shop.tasks:send", "shop.tasks:send_all"]),
        ("*:send*", ["shop.tasks:send", "shop.tasks:send_all", "shopping:send"]),
        ("shop.tasks:sen?", ["shop.tasks:send"]),
        ("shop_tasks", []),
        ("%", []),
    ],
)
def test_tasks_are_named_whole_by_module_or_by_glob(conn: Connection, task: str, found: list[str]) -> None:
    for name in ("shop.tasks:send", "shop.tasks:send_all", "shopping:send"):
        put_job(conn, task=name)
    assert sorted(job.task for job in list_jobs(conn, task=task)) == found


def test_list_jobs_of_an_unknown_status_is_refused(conn: Connection) -> None:
    with pytest.raises(UsageError, match="status='done': give one of waiting, queued"):
        list_jobs(conn, status="done")


def test_a_job_that_is_due_at_infinity_is_listed(conn: Connection) -> None:
    conn.execute("ALTER DOMAIN pgjobs.job_run_at DROP CONSTRAINT job_run_at_check")  # it may be older than that
    never = put_job(conn)
    conn.execute("UPDATE pgjobs.jobs SET run_at = 'infinity' WHERE id = %s", [never])
    always = put_job(conn)
    conn.execute("UPDATE pgjobs.jobs SET run_at = '-infinity' WHERE id = %s", [always])
    assert [job.run_at.year for job in list_jobs(conn)] == [1, 9999]


def test_a_running_job_is_shown_with_its_worker(conn: Connection) -> None:
    worker = put_worker(conn, {"default": 1})
    job = show_job(conn, put_job(conn, status="running", worker_id=worker, attempt=1, payload=b"12345"))
    assert (job.worker_host, job.worker_pid, job.payload_bytes, job.signed) == ("web1", 4711, 5, False)


def test_a_dead_job_is_shown_with_its_errors(conn: Connection) -> None:
    job = show_job(conn, put_dead(conn))
    assert job.status == "failed"
    assert job.died_at is not None
    assert job.errors == ERRORS


def test_a_dead_job_whose_history_is_gone_is_shown_from_its_letter(conn: Connection) -> None:
    dead = put_dead(conn)
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [dead])
    job = show_job(conn, dead)
    assert (job.status, job.errors) == ("failed", ERRORS)
    assert job.died_at is not None


def test_a_job_that_is_not_there_is_named(conn: Connection) -> None:
    with pytest.raises(NotFoundError, match="no job 4711"):
        show_job(conn, 4711)


@pytest.mark.parametrize("status", ["failed", "cancelled", "completed"])
def test_a_finished_job_is_retried_under_its_id_with_a_fresh_budget(conn: Connection, status: str) -> None:
    job = put_job(conn, status=status, attempt=3, max_attempts=4, worker_id=9, isolate=True, errors=ERRORS)
    before = row_of(conn, job)
    assert retry_jobs(conn, [job]).done == (job,)
    row = row_of(conn, job)
    assert (row["status"], row["attempt"], row["prior_attempts"], row["max_attempts"]) == ("queued", 3, 3, 7)
    assert (row["worker_id"], row["started_at"], row["finished_at"], row["isolate"]) == (None, None, None, None)
    assert row["errors"] == ERRORS
    assert row["enqueued_at"] == before["enqueued_at"]
    assert row["run_at"] <= datetime.now(UTC)


def test_each_retry_gives_the_same_budget_again(conn: Connection) -> None:
    job = put_job(conn, status="failed", attempt=2, max_attempts=2)
    for life in (1, 2, 3):
        retry_jobs(conn, [job])
        row = row_of(conn, job)
        assert (row["max_attempts"] - row["prior_attempts"], row["attempt"]) == (2, 2 * life)
        conn.execute(
            "UPDATE pgjobs.jobs SET status = 'failed', attempt = max_attempts, finished_at = now() WHERE id = %s", [job]
        )


def test_a_retry_removes_the_dead_letter_and_keeps_its_errors(conn: Connection) -> None:
    job = put_dead(conn)
    conn.execute("UPDATE pgjobs.jobs SET errors = NULL WHERE id = %s", [job])
    assert retry_jobs(conn, [job]).done == (job,)
    assert count(conn, "dead_jobs") == 0
    assert row_of(conn, job)["errors"] == ERRORS


def test_a_retry_works_from_the_letter_when_history_is_gone(conn: Connection) -> None:
    job = put_dead(conn)
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [job])
    assert retry_jobs(conn, [job]).done == (job,)
    assert row_of(conn, job)["status"] == "queued"


def test_a_later_job_is_made_due_and_rings_the_armed_doorbell(conn: Connection, database_url: str) -> None:
    job = put_job(conn, queue="mail", run_at=SOON)
    conn.execute(
        "INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('mail', clock_timestamp() + interval '1 minute')"
    )
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{doorbell_channel("mail")}"')
        assert retry_jobs(conn, [job]).done == (job,)
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
    row = row_of(conn, job)
    assert row["run_at"] <= datetime.now(UTC)
    assert (row["attempt"], row["prior_attempts"]) == (0, None)


def test_a_retried_job_rings_the_armed_doorbell(conn: Connection, database_url: str) -> None:
    job = put_job(conn, queue="mail", status="completed")
    conn.execute(
        "INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('mail', clock_timestamp() + interval '1 minute')"
    )
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{doorbell_channel("mail")}"')
        retry_jobs(conn, [job])
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1


def test_retry_of_some_unsuitable_jobs_says_why_and_retries_the_rest(conn: Connection) -> None:
    due, running = put_job(conn), put_job(conn, status="running", worker_id=1)
    waiting, finished = put_job(conn, status="waiting"), put_job(conn, status="completed")
    change = retry_jobs(conn, [due, running, waiting, finished, 4711])
    assert change.done == (finished,)
    reasons = {refusal.id: refusal.reason for refusal in change.refused}
    assert "queued and due" in reasons[due]
    assert "is running" in reasons[running]
    assert "waits for other jobs" in reasons[waiting]
    assert "no job 4711" in reasons[4711]


@pytest.mark.parametrize("status", ["queued", "waiting"])
def test_a_job_that_has_not_started_is_cancelled_into_history(conn: Connection, status: str) -> None:
    job = put_job(conn, status=status)
    assert cancel_jobs(conn, [job], reason="not needed").done == (job,)
    row = row_of(conn, job)
    assert (row["status"], row["error"]) == ("cancelled", "not needed")
    assert row["finished_at"] is not None
    assert count(conn, "jobs_live") == 0


def test_a_cancelled_job_can_be_retried(conn: Connection) -> None:
    job = put_job(conn)
    cancel_jobs(conn, [job])
    assert retry_jobs(conn, [job]).done == (job,)
    row = row_of(conn, job)
    assert (row["status"], row["max_attempts"], row["prior_attempts"]) == ("queued", 5, None)


def test_running_jobs_are_asked_to_end_and_finished_ones_are_refused(conn: Connection) -> None:
    running, finished = put_job(conn, status="running", worker_id=1), put_job(conn, status="completed")
    change = cancel_jobs(conn, [running, finished, 4711], reason="not needed")
    assert (change.done, change.asked) == ((), (running,))
    assert [refusal.id for refusal in change.refused] == [finished, 4711]
    assert "already completed" in change.refused[0].reason
    row = row_of(conn, running)
    assert (row["status"], row["cancel_reason"], row["cancel_force"]) == ("running", "not needed", None)


def test_what_was_asked_by_force_stays_so(conn: Connection) -> None:
    running = put_job(conn, status="running", worker_id=1)
    for force in (False, True, False):
        assert cancel_jobs(conn, [running], force=force).asked == (running,)
    assert row_of(conn, running)["cancel_force"] is True


def test_what_waits_for_a_cancelled_job_is_cancelled_on_request(conn: Connection) -> None:
    first, second, third, other = (put_job(conn, status=status) for status in ("queued", *["waiting"] * 3))
    conn.execute(
        "INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s), (%s, %s), (%s, %s)",
        [first, second, second, third, first, third],
    )
    assert cancel_jobs(conn, [first], cascade=True).done == (first, second, third)
    assert row_of(conn, other)["status"] == "waiting"
    again = put_job(conn)
    conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [again, other])
    assert cancel_jobs(conn, [again]).done == (again,)
    assert row_of(conn, other)["status"] == "waiting"


def test_a_job_that_is_claimed_at_the_same_moment_is_asked_to_end(conn: Connection, database_url: str) -> None:
    job = put_job(conn)
    with psycopg.connect(database_url) as worker, psycopg.connect(database_url, autocommit=True) as operator:
        worker.execute("UPDATE pgjobs.jobs_live SET status = 'running', worker_id = 1 WHERE id = %s", [job])
        import threading

        changes: list[object] = []
        thread = threading.Thread(target=lambda: changes.append(cancel_jobs(operator, [job]).asked))
        thread.start()
        _wait_until_blocked(conn, operator.info.backend_pid)
        worker.commit()
        thread.join(10)
    assert changes == [(job,)]
    assert row_of(conn, job)["status"] == "running"


def test_a_retry_waits_for_letters_before_it_locks_history(conn: Connection, database_url: str) -> None:
    first, second = put_dead(conn), put_dead(conn)
    with (
        psycopg.connect(database_url) as holder,
        psycopg.connect(database_url, autocommit=True) as operator,
        psycopg.connect(database_url, autocommit=True) as other,
        ThreadPoolExecutor() as pool,
    ):
        holder.execute("SELECT FROM pgjobs.jobs_history WHERE id = %s FOR UPDATE", [second])
        retried = pool.submit(retry_jobs, operator, [first, second])
        _wait_until_blocked(conn, operator.info.backend_pid)  # it has the first
        replayed = pool.submit(replay_dead, other, JobSelection())
        with suppress(TimeoutError):  # with history locked before the letters, each would wait for the other now
            replayed.result(1)
        holder.commit()
        assert replayed.result(20).done == ()
        assert retried.result(20).done == (first, second)


def test_retries_and_replays_at_the_same_time_put_each_job_back_once(conn: Connection, database_url: str) -> None:
    with (
        psycopg.connect(database_url, autocommit=True) as operator,
        psycopg.connect(database_url, autocommit=True) as other,
        ThreadPoolExecutor() as pool,
    ):
        for _ in range(10):
            conn.execute("TRUNCATE pgjobs.jobs, pgjobs.dead_jobs")
            conn.execute(
                "WITH failed AS ("
                "    INSERT INTO pgjobs.jobs (status, finished_at, task, payload, attempt) "
                "    SELECT 'failed', now(), 'a:b', 'x', 5 FROM generate_series(1, 1000) RETURNING *) "
                f"INSERT INTO pgjobs.dead_jobs {letters_of('failed')}"
            )
            ids = [row[0] for row in conn.execute("SELECT id FROM pgjobs.dead_jobs ORDER BY id DESC")]
            start = Barrier(2)
            retried = pool.submit(_after, start, partial(retry_jobs, operator, ids))
            replayed = pool.submit(_after, start, lambda: replay_dead(other, JobSelection(), batch=100))
            # What was replayed a moment ago may count as retried too: it is due now for both.
            assert {*retried.result(30).done, *replayed.result(30).done} == set(ids)
            assert (count(conn, "jobs_live"), count(conn, "jobs_history"), count(conn, "dead_jobs")) == (1000, 0, 0)


def test_a_job_that_ends_while_it_is_looked_for_is_retried_and_has_a_state(
    conn: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = put_worker(conn, {"default": 1})
    job, other_job = (put_job(conn, status="running", worker_id=worker) for _ in range(2))

    def ends_now(look: Any, job: int) -> Any:
        def look_and_end(conn: Connection, ids: list[int]) -> Any:
            found = look(conn, ids)
            with psycopg.connect(database_url) as other:
                other.execute(
                    "UPDATE pgjobs.jobs SET status = 'cancelled', finished_at = now() WHERE id = %s"
                    " AND status = 'running'",
                    [job],
                )
            return found

        return look_and_end

    monkeypatch.setattr(job_actions, "ended_at", ends_now(query.ended_at, job))
    assert retry_jobs(conn, [job]).done == (job,)
    monkeypatch.setattr(query, "ended_at", ends_now(query.ended_at, other_job))
    assert query.job_states(conn, [other_job])[other_job][0] == "cancelled"


@pytest.mark.parametrize(
    "put_back", [lambda conn, job: retry_jobs(conn, [job]), lambda conn, job: replay_dead(conn, JobSelection())]
)
@pytest.mark.parametrize(
    ("attempt", "max_attempts", "prior", "expected"),
    [
        (999_999_998, 1_000_000_000, None, (999_999_998, 1_000_000_000)),
        (5, 1_000_000_000, None, (5, 1_000_000_000)),
        (1_000_000_000, 1_000_000_000, 0, (999_999_999, 1_000_000_000)),
        (2_147_483_647, 2_147_483_647, -5, (999_999_999, 1_000_000_000)),
    ],
)
def test_numbers_of_attempts_end_at_the_largest_that_is_allowed(
    conn: Connection, put_back: Any, attempt: int, max_attempts: int, prior: int | None, expected: tuple[int, int]
) -> None:
    for column in ("attempt", "max_attempts", "prior_attempts"):  # it may be older than these
        conn.execute(f"ALTER DOMAIN pgjobs.job_{column} DROP CONSTRAINT job_{column}_check")
    job = put_dead(conn, attempt=attempt, max_attempts=max_attempts, prior_attempts=prior)
    other = put_dead(conn)
    assert job in put_back(conn, job).done
    row = row_of(conn, job)
    assert (row["attempt"], row["max_attempts"]) == expected
    assert row["prior_attempts"] == row["attempt"], "one attempt is left at least"
    assert row_of(conn, other)["status"] in ("queued", "failed")


@pytest.mark.parametrize("id", [-1, 2**63, True])
def test_an_id_that_can_be_none_is_refused(conn: Connection, id: int) -> None:
    with pytest.raises(UsageError, match="is not the id of a job"):
        retry_jobs(conn, [id])


def _after(start: Barrier, act: Callable[[], Change]) -> Change:
    start.wait(10)
    return act()


def _wait_until_blocked(conn: Connection, pid: int) -> None:
    for _ in range(500):
        row = conn.execute("SELECT cardinality(pg_blocking_pids(%s)), pg_sleep(0.01)", [pid]).fetchone()
        if row and row[0]:
            return
    pytest.fail("the other session never waited for the lock")
