"""Jobs that do not stop when their time is up: their worker process is replaced, and no other job suffers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import enqueue
from tests.support import tasks
from tests.support.rows import row_of
from tests.support.tasks_ends import end_of_coroutine
from tests.support.worker import wait_done, wait_for, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Server

REPLACED = "JobTimeout: ran longer than its 0.3 s and did not stop; its worker was replaced"
ONCE: dict[str, Any] = {"max_attempts": 1, "timeout": 0.3}


@dataclass
class Stuck:
    """What happened to the jobs of two workers: one with a stuck thread, one whose event loop was blocked."""

    conn: psycopg.Connection
    jobs: dict[str, int]

    def row(self, name: str) -> dict[str, Any]:
        """Return the job's row."""
        return row_of(self.conn, self.jobs[name])


@pytest.fixture(scope="module")
def stuck(server: Server) -> Iterator[Stuck]:
    url = server.create()
    with psycopg.connect(url, autocommit=True) as conn:
        environment = {tasks.URL: url}
        tasks.make_seen(conn)
        with (
            work(url, "-q", "default:8", env=environment) as threads,
            work(url, "-q", "loop:2", "--grace", 1, env=environment) as loop,
        ):
            # Now that both run: what is looked at below lasts two seconds, and the second may start late.
            jobs = {
                "asleep": enqueue(conn, tasks.nap.options(**ONCE), 600).id,
                # As many of these as there are beside them: who only counts would leave too early.
                "asleep for a while": enqueue(conn, tasks.nap.options(**ONCE), 6.0).id,
                "asleep for a while, too": enqueue(conn, tasks.nap.options(**ONCE), 6.0).id,
                "swallows": enqueue(conn, end_of_coroutine.options(**ONCE), "swallow forever").id,
                "beside": enqueue(conn, tasks.nap, 8.5).id,
                "beside on the loop": enqueue(conn, tasks.nap_async, 8.5).id,
                "blocks the loop": enqueue(conn, tasks.block_the_loop.options(**ONCE, queue="loop"), 600).id,
            }
            wait_for(conn, "EXISTS (SELECT FROM seen)", log=lambda: loop.output)
            blocked = tasks.healthy_async.options(queue="loop", max_attempts=2)
            jobs["on the blocked loop"] = enqueue(conn, blocked, 1).id
            retiring = "did not stop 5 s after its timeout"
            wait_for(
                conn, "(SELECT count(*) FROM pgjobs.workers) = 3", log=lambda: threads.output + loop.output
            )  # a new one is there before the old one has gone
            assert retiring in threads.output + loop.output
            jobs["meanwhile"] = enqueue(conn, tasks.healthy, 1).id
            wait_for(conn, f"EXISTS (SELECT FROM pgjobs.jobs_history WHERE id = {jobs['meanwhile']})", 3)
            assert row_of(conn, jobs["beside"])["status"] == "running"
            wait_done(conn, log=lambda: threads.output + loop.output)
        yield Stuck(conn, jobs)
    server.drop(url)


@pytest.mark.parametrize("name", ["asleep", "swallows", "blocks the loop"])
def test_a_job_that_does_not_stop_fails_with_that(stuck: Stuck, name: str) -> None:
    row = stuck.row(name)
    assert (row["status"], row["error"]) == ("failed", REPLACED)


@pytest.mark.parametrize("name", ["asleep for a while", "asleep for a while, too"])
def test_a_thread_that_stops_late_fails_with_its_timeout(stuck: Stuck, name: str) -> None:
    row = stuck.row(name)
    assert (row["status"], row["error"]) == ("failed", "JobTimeout: ran longer than its 0.3 s")


@pytest.mark.parametrize("name", ["beside", "beside on the loop"])
def test_what_runs_beside_it_is_finished_first(stuck: Stuck, name: str) -> None:
    row = stuck.row(name)
    assert (row["status"], row["attempt"], row["errors"]) == ("completed", 1, None)


def test_what_comes_meanwhile_is_run_by_the_replacement(stuck: Stuck) -> None:
    assert stuck.row("meanwhile")["worker_id"] != stuck.row("beside")["worker_id"]


def test_what_waited_on_a_blocked_event_loop_is_run_by_the_replacement_and_not_counted(stuck: Stuck) -> None:
    row = stuck.row("on the blocked loop")
    assert (row["status"], row["attempt"], row["errors"]) == ("completed", 1, None)
