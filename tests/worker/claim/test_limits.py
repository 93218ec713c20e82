"""Limits with real workers: never exceeded, whatever is killed, and what code declares."""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from benchmarks.limit_check import play

from pgjobs import enqueue_many
from pgjobs.admin import list_limits, set_limit
from pgjobs.db.statements import statement
from pgjobs.flow.limits import LimitSettings
from pgjobs.flow.rates import Rate, refill
from tests.support import tasks
from tests.support.worker import QUICK, drain, scalar, wait_for, work

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.in_turns(3)

AT_ONCE = """
    SELECT coalesce(max((SELECT count(*) FROM seen AS b
                         WHERE b.what = a.what AND b.began <= a.began AND coalesce(b.ended, 'infinity') > a.began)), 0)
    FROM seen AS a
"""
DECLARES = """
from pgjobs import declare_limit, declare_queue_limit, job
declare_limit("a:*", concurrency=3)
declare_queue_limit("slow", rate="5/min")
@job
def later():
    declare_limit("b", concurrency=1)
"""


def test_a_limit_of_one_holds_under_kills_retries_and_cancels(database_url: str, tmp_path: Path) -> None:
    """Ten seconds of what `make limit-check` does for two minutes, with four worker processes."""
    seed = random.randrange(1000)  # noqa: S311 (no secret)
    play(database_url, tmp_path, 8, seed, supervisors=2).check()


def test_each_key_has_its_own_slots_and_a_killed_worker_gives_them_back(
    database_url: str, conn: psycopg.Connection
) -> None:
    tasks.make_seen(conn)
    set_limit(conn, "tenant:*", LimitSettings(2))
    set_limit(conn, "tenant:c", LimitSettings(1))
    for key in "abc":
        enqueue_many(conn, tasks.note.options(limit=f"tenant:{key}"), [(key, 0.1)] * 8)
    env = {tasks.URL: database_url}
    with work(database_url, "-q", "default:4", *QUICK, "--processes", 4, env=env, ready=False) as running:
        wait_for(conn, "(SELECT count(*) FROM seen) > 4", log=lambda: running.output)
        running.kill_a_member()
        wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.jobs WHERE status <> 'completed')", log=lambda: running.output)
    conn.execute("DELETE FROM seen WHERE ended IS NULL")  # what was killed
    most = conn.execute(AT_ONCE + "GROUP BY a.what ORDER BY a.what").fetchall()
    assert most == [(2,), (2,), (1,)]


def test_a_limit_that_is_set_while_jobs_run_holds_within_a_second(database_url: str, conn: psycopg.Connection) -> None:
    tasks.make_seen(conn)
    enqueue_many(conn, tasks.note.options(limit="k"), [("k", 0.05)] * 400)
    with work(database_url, "-q", "default:4", env={tasks.URL: database_url}) as running:
        wait_for(conn, "(SELECT count(*) FROM seen) > 10", log=lambda: running.output)
        conn.execute("INSERT INTO pgjobs.limits (name, concurrency) VALUES ('k', 1)")
        time.sleep(1.0)
        since = scalar(conn, "SELECT clock_timestamp()")
        time.sleep(0.5)
        assert scalar(conn, f"{AT_ONCE} WHERE a.began > %s", [since]) == 1
        conn.execute("UPDATE pgjobs.limits SET concurrency = 0")
        time.sleep(1.0)
        before = scalar(conn, "SELECT count(*) FROM seen")
        time.sleep(0.3)
        assert scalar(conn, "SELECT count(*) FROM seen") == before
        conn.execute("DELETE FROM pgjobs.limits")
        wait_for(conn, f"(SELECT count(*) FROM seen) > {before + 20}", 5, lambda: running.output)


def test_a_rate_lets_the_burst_through_and_then_its_number_per_period(
    database_url: str, conn: psycopg.Connection
) -> None:
    tasks.make_seen(conn)
    set_limit(conn, "k", LimitSettings(None, Rate(10, 1), 5))
    enqueue_many(conn, tasks.mark_job.options(limit="k"), [("k",)] * 20)
    env = {tasks.URL: database_url}
    with work(database_url, "-q", "default:4", "--processes", 2, env=env, ready=False) as running:
        wait_for(conn, "(SELECT count(*) FROM seen) = 20", log=lambda: running.output)
    seconds = float(scalar(conn, "SELECT extract(epoch FROM max(started_at) - min(started_at)) FROM pgjobs.jobs"))
    assert 1.35 <= seconds < 4
    for (count,) in conn.execute(
        "SELECT (SELECT count(*) FROM pgjobs.jobs AS b WHERE b.started_at BETWEEN a.started_at AND "
        "a.started_at + interval '0.5 s') FROM pgjobs.jobs AS a"
    ):
        assert count <= 5 + 5 + 1


def test_the_statement_reckons_with_buckets_as_the_formula_does(conn: psycopg.Connection) -> None:
    dice = random.Random(7)  # noqa: S311 (the same)
    for _ in range(40):
        rate, burst = Rate(dice.choice([0.5, 3, 100]), dice.choice([1, 60])), dice.choice([None, 1, 7.5])
        tokens, age = dice.uniform(-3, 9), dice.choice([-30, -0.5, 0, 0.3, 10, 1e6])
        with conn.transaction(force_rollback=True):
            now: datetime = scalar(conn, "SELECT now()")
            at = now.astimezone(UTC) - timedelta(seconds=age)
            conn.execute(
                "INSERT INTO pgjobs.queues (name, rate, period, burst) VALUES ('q', %s, make_interval(secs => %s), %s)",
                [rate.count, rate.period, burst],
            )
            if tokens > -1:
                conn.execute("INSERT INTO pgjobs.buckets VALUES ('queue', 'q', %s, %s)", [tokens, at])
            row = conn.execute(statement("queue_capacity"), {"queue": "q"}).fetchone()
        assert row is not None
        have = refill(tokens if tokens > -1 else None, at, now, rate, burst)
        assert abs(row[1] - have) < 1e-6 * max(1, have)


def test_what_code_declares_is_in_the_tables_also_where_a_job_imports_it_later(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "declares.py").write_text(DECLARES)
    monkeypatch.syspath_prepend(tmp_path)
    import declares  # type: ignore[import-not-found]  # just written

    from pgjobs.flow.limits import forget_declared

    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with work(database_url, "--import", "declares", env={"PYTHONPATH": path}) as running:
        assert [(limit.name, limit.set_by) for limit in list_limits(conn)] == [("a:*", "code")]
        assert scalar(conn, "SELECT rate FROM pgjobs.queues WHERE name = 'slow'") == 5
        enqueue_many(conn, declares.later, [()])
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.limits WHERE name = 'b')", 5, lambda: running.output)
    forget_declared()


def test_a_queue_with_a_limit_runs_no_more_at_once(database_url: str, conn: psycopg.Connection) -> None:
    tasks.make_seen(conn)
    conn.execute("INSERT INTO pgjobs.queues (name, concurrency) VALUES ('default', 2)")
    enqueue_many(conn, tasks.note, [("q", 0.05)] * 12)
    drain(database_url, "-q", "default:4", "--processes", 2, env={tasks.URL: database_url})
    assert scalar(conn, AT_ONCE) == 2


def test_a_limit_of_a_queue_counts_jobs_that_another_transaction_has_locked(
    database_url: str, conn: psycopg.Connection
) -> None:
    tasks.make_seen(conn)
    enqueue_many(conn, tasks.note, [("q", 2.0)] * 2)
    with work(database_url, "-q", "default:6", env={tasks.URL: database_url}) as running:
        wait_for(conn, "(SELECT count(*) FROM seen) = 2", log=lambda: running.output)
        with psycopg.connect(database_url) as user:
            user.execute("SELECT FROM pgjobs.jobs_live FOR UPDATE")
            conn.execute("UPDATE pgjobs.queues SET concurrency = 2 WHERE name = 'default'")
            enqueue_many(conn, tasks.note, [("q", 0.3)] * 4)
            wait_for(conn, "(SELECT count(ended) FROM seen) = 2", log=lambda: running.output)
            assert scalar(conn, "SELECT count(*) FROM seen") == 2
            user.rollback()
        wait_for(conn, "(SELECT count(ended) FROM seen) = 6", log=lambda: running.output)
    assert scalar(conn, AT_ONCE) == 2


def test_a_limit_of_a_queue_counts_jobs_that_ran_before_it_was_set(database_url: str, conn: psycopg.Connection) -> None:
    tasks.make_seen(conn)
    enqueue_many(conn, tasks.note, [("q", 3.0)] * 3)
    with work(database_url, "-q", "default:6", "--processes", 2, env={tasks.URL: database_url}) as running:
        wait_for(conn, "(SELECT count(*) FROM seen) = 3", log=lambda: running.output)
        with conn.transaction():
            conn.execute("UPDATE pgjobs.queues SET concurrency = 2 WHERE name = 'default'")
        enqueue_many(conn, tasks.note, [("q", 0.2)] * 4)  # at once: no worker knows of the limit yet
        enqueue_many(conn, tasks.note.options(fair_by="what"), [("q", 0.2)] * 4)
        wait_for(conn, "(SELECT count(ended) FROM seen) = 11", log=lambda: running.output)
    at_once = f"{AT_ONCE} WHERE a.job > (SELECT max(job) FROM (SELECT job FROM seen ORDER BY began LIMIT 3) AS first)"
    assert scalar(conn, at_once) == 2
