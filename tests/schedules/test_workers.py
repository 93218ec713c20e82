"""Schedules as the real workers declare and fire them: four supervisors, some of which are killed."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs import admin
from pgjobs.admin import set_limit
from pgjobs.flow.limits import LimitSettings
from tests.schedules import tasks
from tests.schedules.firings import firings, lateness, record_firings
from tests.support.worker import QUICK, Work, scalar, wait_for, work

if TYPE_CHECKING:
    from psycopg import Connection

pytestmark = pytest.mark.in_turns(3)

IMPORT = ("-q", "default:2", "--import", "tests.schedules.tasks", *QUICK)
EACH_SECOND = {"TEST_CRON": "* * * * * *", "TEST_SCHEDULES": "a bb ccc"}


def kill(running: Work) -> None:
    """Kill a supervisor and all its worker processes at once."""
    for pid in [running.pid, *running.members()]:
        os.kill(pid, signal.SIGKILL)


def test_four_supervisors_of_which_two_are_killed_fire_each_second_once(conn: Connection, database_url: str) -> None:
    record_firings(conn)
    with ExitStack() as stack:
        works = [stack.enter_context(work(database_url, *IMPORT, env=EACH_SECOND, ready=False)) for _ in range(4)]
        wait_for(conn, "(SELECT count(*) FROM pgjobs.schedule_owners) = 4", 60)
        for victim in works[:2]:
            time.sleep(0.7)
            kill(victim)
        time.sleep(2.0)
        found = firings(conn)
        wait_for(conn, "(SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed') > 6", 60)

    assert set(found) == {"sync(1)", "sync(2)", "sync(3)"}
    for times in found.values():
        assert times == [times[0] + timedelta(seconds=number) for number in range(len(times))]
        assert len(times) >= 3
    late = lateness(conn)
    assert min(late) >= 0
    assert median(late) < 0.5  # 10 ms where there is nothing else to do


def test_what_code_declares_no_more_is_retired_by_the_next_version(conn: Connection, database_url: str) -> None:
    with work(database_url, *IMPORT, env={"TEST_SCHEDULES": "a bb"}) as old:
        wait_for(conn, "(SELECT count(*) FROM pgjobs.schedules) = 2")
        assert old.stop() == 0
    with work(database_url, *IMPORT, env={"TEST_SCHEDULES": "bb"}, ready=False):
        wait_for(conn, "(SELECT retired_at IS NOT NULL FROM pgjobs.schedules WHERE name = 'a')")

    rows = {row.name: (row.state, row.app, row.tz) for row in admin.list_schedules(conn)}
    assert rows == {"a": ("retired", "tests", "Europe/Berlin"), "bb": ("active", "tests", "Europe/Berlin")}


def test_a_schedule_that_an_open_transaction_has_locked_holds_up_no_other(conn: Connection, database_url: str) -> None:
    admin.add_schedule(conn, "operator", "* * * * * *", tasks.tidy)
    env = {"TEST_SCHEDULES": "a"}
    with work(database_url, *IMPORT, env=env):
        wait_for(conn, "(SELECT count(*) FROM pgjobs.schedules) = 2")
    with psycopg.connect(database_url) as user:
        admin.pause_schedule(user, "a")
        with work(database_url, *IMPORT, env={**env, "TEST_CRON": "0 8 * * *"}):
            fired = scalar(conn, "SELECT count(*) FROM pgjobs.jobs")
            wait_for(conn, f"(SELECT count(*) FROM pgjobs.jobs) > {fired + 2}", 8)
            user.rollback()
            wait_for(conn, "(SELECT cron = '0 8 * * *' FROM pgjobs.schedules WHERE name = 'a')", 10)


def test_workers_that_import_nothing_fire_what_an_operator_adds_and_have_no_connection_before(
    conn: Connection, database_url: str
) -> None:
    connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgjobs scheduler' AND datname = %s"
    with work(database_url, *QUICK):
        time.sleep(0.6)  # a heartbeat
        assert scalar(conn, connected, [conn.info.dbname]) == 0
        admin.add_schedule(conn, "now", "* * * * * *", tasks.tidy)
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs WHERE status = 'completed')")
        assert scalar(conn, connected, [conn.info.dbname]) == 1


def test_what_code_declares_keeps_to_its_limit(conn: Connection, database_url: str) -> None:
    set_limit(conn, "scheduled:7", LimitSettings(concurrency=1))
    env = {"TEST_CRON": "* * * * * *", "TEST_LIMITED": "a b"}
    with work(database_url, *IMPORT, env=env, ready=False):
        wait_for(conn, "(SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed') >= 3")

    assert conn.execute("SELECT DISTINCT limit_key FROM pgjobs.jobs").fetchall() == [("scheduled:7",)]
    # Seen by the jobs themselves: their rows say when they were claimed and acknowledged, which may overlap.
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE error IS NOT NULL") == 0
