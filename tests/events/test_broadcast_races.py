"""Workers that register and leave while broadcasts are committed and maintenance looks: each has its row, once."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from pgjobs import broadcast
from pgjobs.db.statements import statement
from tests.events import calls
from tests.events.test_broadcast import leave, put

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 2.0
WITHIN = 0.3
MISSING = """
    SELECT b.id, w.id
    FROM pgjobs.broadcasts AS b JOIN pgjobs.workers AS w ON w.started_at <= b.closes_at
    WHERE NOT EXISTS (SELECT FROM pgjobs.broadcast_runs AS r WHERE r.broadcast_id = b.id AND r.worker_id = w.id)
"""
TOO_MANY = """
    SELECT b.id, w.id
    FROM pgjobs.broadcast_runs AS r JOIN pgjobs.broadcasts AS b ON b.id = r.broadcast_id
    JOIN pgjobs.workers AS w ON w.id = r.worker_id
    WHERE w.started_at > b.closes_at OR r.state <> 'queued'
"""
LEFT = """
    SELECT r.broadcast_id, r.worker_id, r.state FROM pgjobs.broadcast_runs AS r
    WHERE r.state <> 'gone' AND NOT EXISTS (SELECT FROM pgjobs.workers AS w WHERE w.id = r.worker_id)
"""


def test_each_live_worker_has_one_row_whatever_happens_at_once(conn: psycopg.Connection, database_url: str) -> None:
    seed = random.randrange(10**9)  # noqa: S311 (no secret)
    end, errors, made = time.monotonic() + SECONDS, list[BaseException](), list[int]()

    def register(own: psycopg.Connection[Any], dice: random.Random) -> None:
        with own.transaction():
            worker = put(own)
            time.sleep(dice.choice((0, 0.005)))
        if dice.random() < 0.7:
            time.sleep(dice.random() * 0.05)
            leave(own, worker)

    def send(own: psycopg.Connection[Any], dice: random.Random) -> None:
        with own.transaction():
            late = timedelta(seconds=WITHIN) if dice.random() < 0.5 else timedelta(0)
            made.append(broadcast(own, calls.pid, within=late).id)
            time.sleep(dice.choice((0, 0.01)))
        time.sleep(0.02)

    def settle(own: psycopg.Connection[Any], dice: random.Random) -> None:
        own.execute(statement("settle_broadcasts"))
        time.sleep(dice.random() * 0.01)

    def repeat(step: Callable[[psycopg.Connection[Any], random.Random], None], number: int) -> None:
        try:
            with psycopg.connect(database_url, autocommit=True) as own:
                dice = random.Random(seed + number)  # noqa: S311 (no secret)
                while time.monotonic() < end:
                    step(own, dice)
        except BaseException as error:
            errors.append(error)

    steps = (register, register, register, send, send, settle, settle)
    threads = [threading.Thread(target=repeat, args=(step, number)) for number, step in enumerate(steps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [], f"seed {seed}"
    conn.execute(statement("settle_broadcasts"))
    assert len(made) > 10
    assert [conn.execute(query).fetchall() for query in (MISSING, TOO_MANY, LEFT)] == [[], [], []], f"seed {seed}"
