"""A thousand events for twenty subscriptions, under rollbacks and kills: exactly one job of each for each."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from pgjobs import publish, subscribe
from tests.events import tasks
from tests.events.declaring import declare
from tests.support.processes import environment
from tests.support.worker import QUICK, scalar, wait_for, work

if TYPE_CHECKING:
    import psycopg

EVENTS, SUBSCRIPTIONS, PUBLISHERS, KILLS = 1000, 20, 3, 6
OF_EACH = """
    SELECT count(*), count(DISTINCT (j.task, event.id)), count(DISTINCT event.id), count(*) FILTER (WHERE c.id IS NULL)
    FROM pgjobs.jobs AS j
    CROSS JOIN LATERAL (SELECT (convert_from(j.payload, 'UTF8')::jsonb #>> '{*event,id}')::bigint AS id) AS event
    LEFT JOIN committed AS c ON c.id = event.id
"""


def test_each_event_that_is_committed_is_one_job_of_each_subscription(
    conn: psycopg.Connection, database_url: str
) -> None:
    for n in range(SUBSCRIPTIONS):
        subscribe("order.*" if n % 2 else "#", name=f"s{n}")(tasks.nothing)
    subscribe("order.a.*", name="none")(tasks.nothing)
    declare(conn)
    conn.execute("CREATE TABLE committed (id bigint PRIMARY KEY)")
    seed = random.randrange(10**9)  # noqa: S311 (no secret)
    dice = random.Random(seed)  # noqa: S311 (no secret)

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.events.publisher", database_url, str(dice.random()), str(EVENTS)]
        return subprocess.Popen(command, env=environment())

    running = [start() for _ in range(PUBLISHERS)]
    killed = 0
    while running:
        if killed < KILLS and scalar(conn, "SELECT count(*) FROM committed") > EVENTS * (killed + 1) // (KILLS + 2):
            victim = running.pop(dice.randrange(len(running)))
            victim.kill()
            victim.wait()
            killed += 1
            running.append(start())
        assert not any(each.poll() for each in running), "a publisher failed"
        running = [each for each in running if each.poll() is None]
        time.sleep(0.02)

    committed = scalar(conn, "SELECT count(*) FROM committed")
    assert committed >= EVENTS
    jobs, pairs, events, of_none = conn.execute(OF_EACH).fetchall()[0]
    assert (jobs, pairs, events, of_none) == (SUBSCRIPTIONS * committed, jobs, committed, 0), f"seed {seed}"
    assert killed == KILLS


def test_a_worker_that_is_killed_leaves_each_subscription_its_events(
    conn: psycopg.Connection, database_url: str
) -> None:
    conn.execute(tasks.GOT)
    env = {"TEST_SUBSCRIPTIONS": "a b async", "TASKS_DATABASE_URL": database_url, "TEST_TAKES": "0.01"}
    with work(database_url, "-q", "default:3", "--import", "tests.events.tasks", *QUICK, env=env) as running:
        wait_for(conn, "(SELECT count(*) FROM pgjobs.subscriptions) = 3")
        for n in range(30):
            publish(conn, "order.placed", {"n": n}, sequence=f"order:{n % 3}")
        wait_for(conn, "(SELECT count(*) FROM got) > 5")
        for pid in running.members():
            subprocess.run(["kill", "-KILL", str(pid)], check=True)
        wait_for(conn, "(SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed') = 90", 40)
    rows = conn.execute(
        "SELECT subscription, number % 3, array_agg(number ORDER BY first) FROM"
        " (SELECT subscription, number, min(id) AS first FROM got GROUP BY 1, 2) AS g GROUP BY 1, 2"
    ).fetchall()
    assert {(name, key): numbers for name, key, numbers in rows} == {
        (name, key): list(range(key, 30, 3)) for name in ("a", "b", "async") for key in range(3)
    }
