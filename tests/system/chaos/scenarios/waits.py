"""A thousand waits at once for what jobs return, while workers are killed and the connection that waits is cut."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from pgjobs import enqueue_many, result
from pgjobs.db.url import sqlalchemy_url
from pgjobs.job_results import watcher
from tests.system.chaos import tasks
from tests.system.chaos.scenario import scenario
from tests.system.chaos.scenarios import pooler
from tests.system.chaos.scenarios.processes import KILLED, kill

if TYPE_CHECKING:
    from tests.system.chaos.stage import Stage

WAITS, FEW = 1_000, 300  # few: in a slice of some seconds
SLOTS = 24  # of two supervisors
PATIENCE = 120.0  # seconds for all to get their answers, when all faults are over
OURS = "application_name = 'pgjobs results' AND datname = current_database()"


class Waits:
    """Threads that each wait for one job, which returns a number of its own."""

    def __init__(self, stage: Stage) -> None:
        count = WAITS if stage.seconds > 5 else FEW
        pace = SLOTS * stage.seconds / count
        with psycopg.connect(stage.load.url, autocommit=True, prepare_threshold=None) as conn:
            calls = [(number, stage.dice.uniform(0, pace)) for number in range(count)]
            handles = enqueue_many(conn, tasks.answer, calls)
        stage.own += [handle.id for handle in handles]
        self._engine = create_engine(sqlalchemy_url(stage.load.url), poolclass=NullPool)
        self.answers: dict[int, Any] = {}
        self._before = set(watcher._watchers)  # of tests that ran in this process before
        self._threads = [
            threading.Thread(target=self._wait, args=(number, handle), daemon=True)
            for number, handle in enumerate(handles)
        ]
        for thread in self._threads:
            thread.start()

    def _wait(self, number: int, handle: Any) -> None:
        try:
            self.answers[number] = result(self._engine, handle, timeout=PATIENCE)
        except Exception as error:
            self.answers[number] = error

    def finish(self) -> None:
        """Wait for all, and see that each has its own answer.

        Raises:
            AssertionError: one has not, or there is more than one connection.

        """
        for thread in self._threads:
            thread.join(PATIENCE)
        watchers = [watcher._watchers.pop(key) for key in set(watcher._watchers) - self._before]
        for each in watchers:
            each.close()
        hang = sum(thread.is_alive() for thread in self._threads)
        wrong = [(number, answer) for number, answer in sorted(self.answers.items()) if answer != number]
        assert not hang, f"{hang} waits hang"
        assert not wrong, f"{len(wrong)} of {len(self.answers)} answers are wrong: {wrong[:3]}"
        assert len(watchers) == 1, "they did not share one connection"


def _strike(stage: Stage, *, pooled: bool) -> None:
    waits = Waits(stage)
    cuts = 0
    for number in stage.until_over(0.3, 1.0):
        if number % 2:
            pid = stage.a_member()
            if pid is not None:
                kill(pid)
            continue
        with stage.cluster.connected() as conn:
            query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}"
            found = conn.execute(query.encode()).fetchall()
        # Behind a pooler its name is on whichever of the server's connections it had last.
        assert pooled or len(found) <= 1, f"{len(found)} connections wait"
        cuts += len(found)
    waits.finish()
    assert cuts, "no connection was cut"
    stage.note(f"{len(waits.answers)} waits, their connection cut {cuts} times")


@scenario("a thousand waits", "waits", 15, workers=2, may=KILLED, slice=True)
def direct(stage: Stage) -> None:
    _strike(stage, pooled=False)


@scenario(
    "a thousand waits behind PgBouncer",
    "waits",
    15,
    workers=2,
    may=KILLED,
    needs=("pgbouncer",),
    before=pooler.before,
    after=pooler.after,
)
def behind_pooler(stage: Stage) -> None:
    _strike(stage, pooled=True)
