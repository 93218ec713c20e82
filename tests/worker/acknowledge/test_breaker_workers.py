"""Circuit breakers and real workers: what reaches the dependency, and what its jobs pay."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from pgjobs import enqueue_many
from pgjobs.admin import auto_breaker, close_breaker, open_breaker, show_breaker
from tests.support import tasks, tasks_breakers
from tests.support.rows import put_job, put_worker
from tests.support.worker import QUICK, scalar, states, wait_for, work

IMPORT = ("--import", "tests.support.tasks_breakers")
RUNNING = "SELECT count(*) FROM pgjobs.jobs_live WHERE status = 'running'"
HANGING = f"{RUNNING} AND EXISTS (SELECT FROM seen WHERE job = id AND seen.attempt = jobs_live.attempt)"
# The newest: a job that is taken back from a dead worker may be given the same attempt again.
PROBING = f"""
    SELECT pid FROM seen WHERE (job, attempt) IN ({RUNNING.replace("count(*)", "id, attempt")})
    ORDER BY began DESC LIMIT 1
"""
IS = "(SELECT state = '{1}' FROM pgjobs.breakers WHERE name = '{0}')"
LEFT = "SELECT count(*) FROM pgjobs.jobs WHERE status <> 'completed'"
# Whatever had started, or lay in an inbox, when it opened has come through after that, however busy the machine is.
STRAGGLERS = timedelta(seconds=0.5)


@pytest.fixture
def dependency(tmp_path: Path) -> Path:
    """Return the file with what the dependency does: well."""
    path = tmp_path / "dependency"
    path.write_text("well")
    return path


@pytest.fixture
def env(database_url: str, conn: psycopg.Connection, dependency: Path) -> dict[str, str]:
    tasks.make_seen(conn)
    return {tasks.URL: database_url, tasks_breakers.MODE: str(dependency)}


def test_a_breaker_spares_what_is_down_and_neither_a_kill_nor_a_hang_keeps_it_from_closing(
    database_url: str, conn: psycopg.Connection, dependency: Path, env: dict[str, str]
) -> None:
    dependency.write_text("down")
    enqueue_many(conn, tasks_breakers.call, [(number,) for number in range(200)])
    with work(database_url, "--processes", 4, "-q", "default:4", *QUICK, *IMPORT, env=env) as running:
        wait_for(conn, IS.format("shared", "open"), log=lambda: running.output)
        opened = show_breaker(conn, "shared")
        running.kill_a_member()
        wait_for(conn, f"({RUNNING}) = 0", log=lambda: running.output)
        dependency.write_text("hang")
        wait_for(conn, f"({HANGING}) = 2", log=lambda: running.output)
        assert scalar(conn, RUNNING) == 2, "these are the probes"
        assert opened.changed_at is not None
        between = [opened.changed_at + STRAGGLERS, opened.until]
        assert scalar(conn, "SELECT count(*) FROM seen WHERE began BETWEEN %s AND %s", between) == 0
        os.kill(scalar(conn, PROBING), signal.SIGKILL)
        # Those that hang for longer than a cooldown make room for others.
        wait_for(conn, f"({HANGING}) >= 3", log=lambda: running.output)
        dependency.write_text("well")
        wait_for(conn, IS.format("shared", "closed"), log=lambda: running.output)
        wait_for(conn, f"({LEFT}) = 0", log=lambda: running.output)
        changes = running.lines(logger="pgjobs.breaker", level="warning")
    assert [line["state"] for line in changes] == ["open", "closed"]
    assert states(conn) == {"completed": 200}
    assert scalar(conn, "SELECT sum(attempt) - count(*) FROM pgjobs.jobs") < 200  # far from ten for each


def test_what_an_operator_opened_lets_nothing_through_and_what_runs_since_before_is_not_a_probe(
    database_url: str, conn: psycopg.Connection, env: dict[str, str]
) -> None:
    worker = put_worker(conn, {"other": 1})
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    for _ in range(5):
        put_job(conn, status="running", breaker="shared", worker_id=worker, started_at=long_ago, claims=1, attempt=1)
    with work(database_url, *IMPORT, env=env) as running:
        open_breaker(conn, "shared")
        enqueue_many(conn, tasks_breakers.call, [(number,) for number in range(10)])
        time.sleep(1)
        assert states(conn) == {"running": 5, "waiting": 10}
        assert scalar(conn, "SELECT max(claims) FROM pgjobs.jobs WHERE status = 'waiting'") == 0
        auto_breaker(conn, "shared")
        wait_for(conn, f"({LEFT}) = 5", log=lambda: running.output)
        wait_for(conn, "(SELECT reason LIKE '% probes succeeded' FROM pgjobs.breakers WHERE name = 'shared')")
    assert states(conn) == {"running": 5, "completed": 10}


def test_failures_are_told_from_mistakes_in_child_processes_too_and_timeouts_are_failures(
    database_url: str, conn: psycopg.Connection, dependency: Path, env: dict[str, str]
) -> None:
    with work(database_url, "-q", "default:2", *IMPORT, env=env) as running:
        dependency.write_text("wrong")
        enqueue_many(conn, tasks_breakers.call_apart, [(number,) for number in range(6)])
        wait_for(
            conn, "(SELECT count(*) = 6 FROM pgjobs.jobs WHERE error LIKE 'ValueError%')", log=lambda: running.output
        )
        wait_for(conn, "(SELECT calls->0->>1 = '6' FROM pgjobs.breakers WHERE name = 'apart')")
        close_breaker(conn, "apart")
        dependency.write_text("down")
        # Calls are written at most every 0.15 s, and a quick machine makes a hundred of them meanwhile.
        enqueue_many(conn, tasks_breakers.call_apart, [(number,) for number in range(1_000)])
        wait_for(conn, IS.format("apart", "open"), log=lambda: running.output)
        wait_for(conn, f"({RUNNING}) = 0")
        dependency.write_text("hang")
        enqueue_many(conn, tasks_breakers.call_in_time, [(number,) for number in range(60)])
        wait_for(conn, IS.format("slow", "open"), log=lambda: running.output)
        wait_for(conn, f"({RUNNING}) = 0")
    tried = "SELECT count(*) FROM pgjobs.jobs WHERE breaker = %s AND attempt > 0"
    assert 6 + 3 <= scalar(conn, tried, ["apart"]) < 6 + 500
    assert 2 <= scalar(conn, tried, ["slow"]) < 40
