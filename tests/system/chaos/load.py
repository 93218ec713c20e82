"""A steady load: transactions that enqueue jobs of all kinds, some of which are rolled back.

In the same transaction each job's id goes into the table `ledger`. So the ledger has what was committed, also where
the answer to COMMIT never came; and `promised` has what was committed as far as the client was told.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg

from pgjobs import enqueue, enqueue_many
from tests.system.chaos import tasks
from tests.system.chaos.auditor import KEEPS_RESULT

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[psycopg.Connection[Any], random.Random], list[int]]
    Kinds = list[tuple[float, str, Make]]

ROLLED_BACK = 0.1  # of the transactions


class Load:
    """Threads that enqueue until `stop`. `url` may be a function: where to go now."""

    def __init__(
        self, url: str, dice: random.Random, *, threads: int = 3, pause: float = 0.03, kinds: Kinds | None = None
    ) -> None:
        self.url = url
        self.prepare_threshold: int | None = 5  # psycopg's own
        self.pause = pause
        self.kinds = kinds or KINDS
        self._stop = threading.Event()
        self.promised: dict[int, str] = {}
        self.twice = 0  # ids that were promised before: a failover lost what had them
        self.in_doubt = 0  # transactions whose COMMIT had no answer
        self.errors = 0
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(dice.random()),), daemon=True)  # noqa: S311 (no secret)
            for _ in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is None:
                continue  # it was not even started
            thread.join(60)
            assert not thread.is_alive(), "an enqueuer hangs"

    def _run(self, dice: random.Random) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self.url, connect_timeout=5, tcp_user_timeout=5000) as conn:
                    conn.prepare_threshold = self.prepare_threshold
                    while not self._stop.is_set():
                        self._transaction(conn, dice)
                        time.sleep(dice.uniform(0, 2 * self.pause))
            except psycopg.Error:
                self.errors += 1
                self._stop.wait(0.2)

    def _transaction(self, conn: psycopg.Connection[Any], dice: random.Random) -> None:
        made = fill(conn, dice, self.kinds)
        if dice.random() < ROLLED_BACK:
            conn.rollback()
            return
        try:
            conn.commit()
        except psycopg.OperationalError:
            self.in_doubt += 1
            raise
        self.twice += len(self.promised.keys() & made.keys())
        self.promised.update(made)


def fill(conn: psycopg.Connection[Any], dice: random.Random, kinds: Kinds) -> dict[int, str]:
    """Enqueue some jobs, enter them in the ledger, and give them by id."""
    _, kind, make = dice.choices(kinds, [weight for weight, _, _ in kinds])[0]
    made = dict.fromkeys(make(conn, dice), kind)
    with conn.cursor() as cursor:
        cursor.execute("INSERT INTO ledger (job, kind) SELECT unnest(%s::bigint[]), %s", [list(made), kind])
    return made


def _quick(conn: psycopg.Connection[Any], dice: random.Random) -> list[int]:
    return [handle.id for handle in enqueue_many(conn, tasks.quick, [(n,) for n in range(dice.randint(1, 15))])]


def _together(conn: psycopg.Connection[Any], dice: random.Random) -> list[int]:
    items = [(dice.uniform(0, 0.05),) for _ in range(dice.randint(1, 12))]
    return [handle.id for handle in enqueue_many(conn, tasks.together, items)]


def one(function: Any, low: float, high: float) -> Make:
    """Enqueue one job, with a number between these."""
    return lambda conn, dice: [enqueue(conn, function, dice.uniform(low, high)).id]


KINDS: Kinds = [  # by their weight
    (10, "quick", _quick),
    (6, "brief", one(tasks.brief, 0.001, 0.2)),
    (6, "on_loop", one(tasks.on_loop, 0.001, 0.2)),
    (2, "in_process", one(tasks.in_process, 0.001, 0.1)),
    (2, "fails_first", one(tasks.fails_first, 0, 1)),
    (1, "always_fails", one(tasks.always_fails, 0, 1)),
    (4, "together", _together),
    (2, "snoozes_first", one(tasks.snoozes_first, 0.1, 0.5)),
    (3, KEEPS_RESULT, one(tasks.own_id, 0.001, 0.1)),
    (1, KEEPS_RESULT, one(tasks.own_id.options(executor="process", queue="heavy"), 0.001, 0.1)),
]
