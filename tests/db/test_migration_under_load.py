"""An upgrade while callers and workers of the version before are at work: no deadlock, and no job is lost.

What they claim by is in `revision_0006/`, as those workers send it. All else that they send is what is sent today, but
for what they cannot know of: the steps of workflows.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from pgjobs.admin import cancel_jobs, set_limit, set_queue_limit
from pgjobs.db import migrations as migrate
from pgjobs.db.enqueue_columns import LISTS
from pgjobs.db.revision import check_schema
from pgjobs.db.statements import statement
from pgjobs.flow.limits import LimitSettings
from pgjobs.flow.rates import Rate
from pgjobs.jobs.outcome import RELEASED, Outcome, Retried
from pgjobs.worker.claim.cursor import END_OF_TIME
from pgjobs.worker.claim.lane_claims import Lane
from pgjobs.worker.runtime import completing
from pgjobs.worker.runtime.completing import complete
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.settle import array, settle
from tests.support import tasks
from tests.support.rows import put_dead, put_job, put_worker
from tests.support.worker import drain

BEFORE = "0006"
KEYS: list[dict[str, Any]] = [
    {"limit": "api"},
    {"limit": "other", "sequence": "a"},
    {"sequence": "b"},
    {"sequence": "c"},
    {},
]
LIMITS = {"api": 3, "other": 2}
OUTCOMES: list[Outcome] = [RELEASED, Retried("no", 0.0)]
TASK = tasks.nothing.options(max_attempts=99)
_PLACE = Path(__file__).parent / "revision_0006"


def _sql(name: str) -> bytes:
    text = (_PLACE / f"{name}.sql").read_text("utf-8")
    for kind, columns in LISTS.items():
        text = text.replace(f"{{{kind}}}", columns)
    return text.encode()


PICK, CLAIM = _sql("pick_lanes"), _sql("claim_waiting")


class Load:
    """Threads that repeat what they do until they are stopped; `errors`: what it led to."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []
        self.rounds: dict[str, int] = {}
        self.jobs: list[int] = []  # that were enqueued

    def enqueue(self, conn: psycopg.Connection) -> None:
        with conn.transaction():
            some = enqueue_many(conn, TASK.options(**random.choice(KEYS)), [()] * 3)  # noqa: S311 (for a test)
            some.append(enqueue(conn, TASK.options(after=[some[0]], if_failed="run")))
            some.append(enqueue(conn, TASK.options(unique=f"{random.randint(1, 5)}")))  # noqa: S311 (the same)
        self.jobs += [handle.id for handle in some]
        time.sleep(0.02)

    def start(self, name: str, act: Callable[[psycopg.Connection], object]) -> None:
        self.rounds[name] = 0

        def repeat() -> None:
            try:
                with psycopg.connect(
                    self._url, autocommit=True
                ) as conn:  # that waits for locks for as long as it takes
                    while not self._stop.is_set():
                        act(conn)
                        self.rounds[name] += 1
            except BaseException as error:
                self.errors.append(error)

        self._threads.append(threading.Thread(target=repeat))
        self._threads[-1].start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self, rounds: int) -> None:
        """Wait until each of them has done this many more."""
        goal = {name: done + rounds for name, done in self.rounds.items()}
        deadline = time.monotonic() + 60
        while not self.errors and any(self.rounds[name] < wanted for name, wanted in goal.items()):
            assert time.monotonic() < deadline, self.rounds
            time.sleep(0.01)


@contextmanager
def load(url: str, worker: int) -> Iterator[Load]:
    """Enqueue, claim, complete, and change jobs in transactions that stay open for a moment, all at once."""
    found = Load(url)
    try:
        for number in range(2):
            found.start(f"enqueue {number}", found.enqueue)
            found.start(f"work {number}", lambda conn: work(conn, worker))
        found.start("plain", lambda conn: work_plain(conn, worker))
        found.start("cancel", cancel_slowly)
        found.start("look", look)
        yield found
    finally:
        found.stop()


def claim(conn: psycopg.Connection, worker: int) -> list[Claim]:
    shared = {"queue": "default", "demand": 20, "counted_queue": None}
    walk = {"priorities": "{5}", "sinces": [""], "untils": [None], "dues": [END_OF_TIME], "most": 100}
    with conn.transaction():
        lanes = [Lane(*row) for row in conn.execute(PICK, {**walk, **shared}).fetchall()]
        locked = [lane for lane in lanes if lane.is_locked]
        picked: dict[str, Any] = {
            "priorities": array(lane.priority for lane in locked),
            "lanes": [lane.lane for lane in locked],
            "dues": [lane.due for lane in locked],
            "limit_keys": [lane.limit_key for lane in locked],
            "sequences": [lane.sequence for lane in locked],
            "breakers": [lane.breaker for lane in locked],
            "costs": [lane.cost for lane in locked],
            "limited": [lane.is_limited for lane in locked],
            "probing": [lane.is_probing for lane in locked],
        }
        rows = conn.execute(CLAIM, {**picked, **shared, "quantum": 9, "worker_id": worker}).fetchall() if locked else []
    missing = {key for lane in lanes for key in lane.missing or ()}
    if missing:
        conn.execute(statement("add_key_locks"), {"keys": sorted(missing)})
    return [Claim(row[0], row[1]) for row in rows]


def work(conn: psycopg.Connection, worker: int) -> None:
    claims = claim(conn, worker)
    with conn.cursor() as cursor:
        if len(claims) > 1:
            settle(cursor, worker, "host", [(claims.pop(), random.choice(OUTCOMES))])  # noqa: S311
        complete(cursor, worker, [one.job_id for one in claims], [one.claim_number for one in claims], controlled=True)


def work_plain(conn: psycopg.Connection, worker: int) -> None:
    rows = conn.execute(
        "UPDATE pgjobs.jobs_live SET status = 'running', worker_id = %s, claims = claims + 1, attempt = attempt + 1,"
        " started_at = now() WHERE id IN (SELECT id FROM pgjobs.jobs_live WHERE status = 'queued' AND run_at <= now()"
        " LIMIT 20 FOR UPDATE SKIP LOCKED) RETURNING id, claims",
        [worker],
    ).fetchall()
    with conn.cursor() as cursor:
        complete(cursor, worker, [row[0] for row in rows], [row[1] for row in rows])
    time.sleep(0.01)


def cancel_slowly(conn: psycopg.Connection) -> None:
    with conn.transaction():
        rows = conn.execute("SELECT id FROM pgjobs.jobs_waiting ORDER BY random() LIMIT 1").fetchall()
        cancel_jobs(conn, [row[0] for row in rows])
        time.sleep(0.05)


def look(conn: psycopg.Connection) -> None:
    """See that no more run than may."""
    rows = conn.execute(
        "SELECT coalesce('sequence:' || sequence, limit_key), count(*) FROM pgjobs.jobs_live WHERE status = 'running'"
        " AND coalesce(sequence, limit_key) IS NOT NULL GROUP BY 1"
    ).fetchall()
    assert not [(key, jobs) for key, jobs in rows if jobs > LIMITS.get(key, 1)], rows
    time.sleep(0.01)


def fill(conn: psycopg.Connection) -> None:
    """Put jobs in every state."""
    put_job(conn, status="completed")
    put_job(conn, status="cancelled")
    put_dead(conn)
    put_dead(conn, sequence="ended", on_failure="skip")
    for limit, slots in LIMITS.items():
        set_limit(conn, limit, LimitSettings(slots, Rate(100_000, 1.0)))
    set_queue_limit(conn, "unused", LimitSettings(2))
    for keys in KEYS:
        enqueue_many(conn, TASK.options(**keys), [()] * 50)
    enqueue_many(conn, TASK.options(delay=0.5, limit="api"), [()] * 20)
    enqueue_many(conn, TASK.options(expires=3600.0), [()] * 20)


def test_an_upgrade_under_load_loses_no_job_and_makes_no_deadlock(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for unknown in ("admin.cancel.end_workflows", "db.dependencies.count_steps"):
        monkeypatch.setattr(f"pgjobs.{unknown}", lambda *_, **__: set())
    # As its workers completed jobs that others waited for: by three statements, of which one was not there yet.
    monkeypatch.setattr(completing, "_complete_together", partial(completing._complete_step_by_step, patient=True))
    url = empty_database_url
    migrate.upgrade(url, BEFORE)
    with psycopg.connect(url, autocommit=True) as conn:
        fill(conn)
        jobs = {row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs").fetchall()}
        worker = put_worker(conn, {"default": 9})
        with load(url, worker) as running:
            running.wait(5)
            migrate.upgrade(url)
            running.wait(5)  # callers are not replaced at once, and workers finish what they have
        assert not running.errors, f"{running.errors!r} {running.rounds}"
        check_schema(conn)
        drain(url, "-q", "default:4")
        jobs.update(running.jobs)
        ends: dict[int, str] = dict(conn.execute("SELECT id, status FROM pgjobs.jobs").fetchall())
    assert set(ends) == jobs
    assert set(ends.values()) == {"completed", "cancelled", "failed"}
