"""Retries and dead letters: what is counted, what is written down, and when the next attempt is due."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.admin import replay_dead
from pgjobs.db import migrations as migrate
from tests.support import tasks
from tests.support.rows import count, row_of
from tests.support.worker import drain, scalar, states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Server


class Ran:
    """What one drain made of these jobs."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self.conn = conn
        self.started_at: datetime = scalar(conn, "SELECT now()")
        self.jobs = {
            "constant": enqueue(conn, tasks.fail_with_constant_backoff),
            "growing": enqueue(conn, tasks.fail_with_growing_backoff),
            "broken": enqueue(conn, tasks.fail_with_broken_backoff),
            "negative": enqueue(conn, tasks.fail_with_negative_backoff),
            "text": enqueue(conn, tasks.fail_with_text_as_backoff),
            "undecorated": enqueue(conn, tasks.fail_plainly),
            "in a process": enqueue(conn, tasks.fail_with_constant_backoff.options(executor="process")),
            "exhausted": enqueue(conn, tasks.always_fail, "no"),
            "one attempt": enqueue(conn, tasks.always_fail.options(max_attempts=1), "no"),
            "third time lucky": enqueue(conn, tasks.fail_until, 3),
            "given up": enqueue(conn, tasks.give_up_on_value_error, "ValueError"),
            "given up, a subclass": enqueue(conn, tasks.give_up_on_value_error, "UnicodeError"),
            "not given up": enqueue(conn, tasks.give_up_on_value_error, "KeyError"),
            "worth it": enqueue(conn, tasks.retry_on_key_error, "KeyError"),
            "not worth it": enqueue(conn, tasks.retry_on_key_error, "ValueError"),
            "by request": enqueue(conn, tasks.retry_by_request, None),
            "by request in 500 s": enqueue(conn, tasks.retry_by_request, 500),
            "by request, last attempt": enqueue(conn, tasks.retry_by_request.options(max_attempts=1), 500),
        }

    def row(self, name: str) -> dict[str, Any]:
        """Return the job's row."""
        return row_of(self.conn, self.jobs[name].id)

    def letter(self, name: str) -> list[dict[str, Any]]:
        """Return the errors of its dead letter."""
        errors: list[dict[str, Any]] = scalar(
            self.conn, "SELECT errors FROM pgjobs.dead_jobs WHERE id = %s", [self.jobs[name].id]
        )
        return errors

    def delay(self, name: str) -> float:
        """Return the seconds from the failure to the next attempt."""
        row = self.row(name)
        assert row["status"] == "queued"
        failed_at = datetime.fromisoformat(row["errors"][-1]["at"])
        delay: timedelta = row["run_at"] - failed_at
        return delay.total_seconds()


@pytest.fixture(scope="module")
def ran(server: Server) -> Iterator[Ran]:
    url = server.create()
    with psycopg.connect(url, autocommit=True) as conn:
        found = Ran(conn)
        drain(url)
        yield found
    server.drop(url)


def test_a_failed_attempt_goes_back_to_the_queue_and_is_counted(ran: Ran) -> None:
    row = ran.row("constant")
    assert (row["status"], row["attempt"], row["worker_id"], row["started_at"]) == ("queued", 1, None, None)
    assert row["error"] == "ValueError: no"


@pytest.mark.parametrize(("name", "seconds"), [("constant", 50), ("in a process", 50), ("growing", 1000)])
def test_the_next_attempt_is_due_after_the_backoff_of_the_decorator(ran: Ran, name: str, seconds: float) -> None:
    assert ran.delay(name) == pytest.approx(seconds)


@pytest.mark.parametrize("name", ["broken", "negative", "text", "undecorated"])
def test_without_a_usable_backoff_the_default_counts(ran: Ran, name: str) -> None:
    assert 0 <= ran.delay(name) <= 2 ** ran.row(name)["attempt"]


def test_a_job_that_succeeds_in_a_later_attempt_is_completed(ran: Ran) -> None:
    row = ran.row("third time lucky")
    assert (row["status"], row["attempt"]) == ("completed", 3)
    assert [entry["attempt"] for entry in row["errors"]] == [1, 2]


def test_an_exhausted_job_is_failed_and_has_a_dead_letter(ran: Ran) -> None:
    row = ran.row("exhausted")
    assert (row["status"], row["attempt"], row["max_attempts"]) == ("failed", 3, 3)
    assert row["finished_at"] > ran.started_at
    assert row["error"] == "ValueError: no"
    assert len(ran.letter("exhausted")) == 3


def test_a_dead_letter_tells_of_every_attempt(ran: Ran) -> None:
    errors = ran.letter("exhausted")
    assert [entry["attempt"] for entry in errors] == [1, 2, 3]
    for entry in errors:
        assert entry["error"] == "ValueError: no"
        assert "tasks.py" in entry["traceback"]
        assert entry["host"] == socket.gethostname()
        assert isinstance(entry["worker"], int)
        began, ended = (datetime.fromisoformat(entry[name]) for name in ("started_at", "at"))
        assert ran.started_at < began <= ended
    assert [entry["at"] for entry in errors] == sorted({entry["at"] for entry in errors})


def test_with_one_attempt_the_first_failure_is_the_last(ran: Ran) -> None:
    assert ran.row("one attempt")["status"] == "failed"
    assert [entry["attempt"] for entry in ran.letter("one attempt")] == [1]


@pytest.mark.parametrize("name", ["given up", "given up, a subclass", "not worth it"])
def test_error_that_no_retry_can_fix_fails_at_once(ran: Ran, name: str) -> None:
    row = ran.row(name)
    assert (row["status"], row["attempt"], row["max_attempts"]) == ("failed", 1, 5)
    assert len(ran.letter(name)) == 1


@pytest.mark.parametrize("name", ["not given up", "worth it"])
def test_other_errors_are_retried(ran: Ran, name: str) -> None:
    assert (ran.row(name)["status"], ran.row(name)["attempt"]) == ("queued", 1)


def test_a_retry_by_request_waits_for_the_backoff_or_for_what_it_asked(ran: Ran) -> None:
    assert ran.delay("by request") == pytest.approx(77)
    assert ran.delay("by request in 500 s") == pytest.approx(500)


def test_a_retry_by_request_in_the_last_attempt_fails(ran: Ran) -> None:
    assert ran.row("by request, last attempt")["status"] == "failed"


def test_a_replayed_job_gets_a_fresh_budget_and_keeps_its_errors(database_url: str, conn: psycopg.Connection) -> None:
    job = enqueue(conn, tasks.always_fail, "no").id
    drain(database_url)
    assert row_of(conn, job)["status"] == "failed"
    replay_dead(conn, [job])
    assert count(conn, "dead_jobs") == 0
    drain(database_url)
    assert row_of(conn, job)["status"] == "failed"
    errors = scalar(conn, "SELECT errors FROM pgjobs.dead_jobs WHERE id = %s", [job])
    assert [entry["attempt"] for entry in errors] == [1, 2, 3, 4, 5, 6]
    assert count(conn, "jobs_live") == 0


def test_the_backoff_of_a_replayed_job_begins_anew(database_url: str, conn: psycopg.Connection) -> None:
    job = enqueue(conn, tasks.fail_with_growing_backoff.options(max_attempts=1)).id
    drain(database_url)
    replay_dead(conn, [job])
    conn.execute("UPDATE pgjobs.jobs SET max_attempts = 6")
    drain(database_url)
    row = row_of(conn, job)
    failed_at = datetime.fromisoformat(row["errors"][-1]["at"])
    assert (row["run_at"] - failed_at).total_seconds() == pytest.approx(1000)


def test_snoozing_does_not_use_up_attempts(database_url: str, conn: psycopg.Connection) -> None:
    tasks.make_seen(conn)
    job = enqueue(conn, tasks.snooze_until.options(max_attempts=1), 4, "snoozed").id
    drain(database_url, env={tasks.URL: database_url})
    row = row_of(conn, job)
    assert (row["status"], row["attempt"], row["errors"]) == ("completed", 1, None)
    assert scalar(conn, "SELECT count(*) FROM seen") == 4


def test_what_is_due_again_at_once_is_run_again_by_the_same_worker(database_url: str, conn: psycopg.Connection) -> None:
    """The claim may come before the acknowledgement has been forgotten."""
    enqueue_many(conn, tasks.fail_until.options(max_attempts=60), [(50,)] * 40)
    enqueue_many(conn, tasks.snooze_once, [()] * 40)
    drain(database_url, "-q", "default:4", seconds=30)
    assert states(conn) == {"completed": 80}


def test_error_that_the_database_cannot_store_is_stored_with_escapes(server: Server) -> None:
    url = server.create(migrated=False)
    name = url.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name}")
        admin.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    migrate.upgrade(url)
    with psycopg.connect(url, autocommit=True, client_encoding="utf8") as conn:
        failing = tasks.always_fail.options(max_attempts=2)
        jobs = [enqueue(conn, failing, "no"), enqueue(conn, tasks.fail_in_japanese), enqueue(conn, failing, "nein")]
        drain(url)
        assert states(conn) == {"failed": 3}
        assert row_of(conn, jobs[0].id)["error"] == "ValueError: no"
        assert row_of(conn, jobs[1].id)["error"] == "ValueError: \\u99c4\\u76ee"
    server.drop(url)
