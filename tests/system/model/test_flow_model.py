"""Claims, hand overs, rescues and changes of limits, in any order: only what may run together does, and all of it.

The order is drawn from a seed. What a worker remembers of lanes depends on time, so steps that fail are not made fewer.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import product
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import enqueue_many
from pgjobs.admin import cancel_jobs, discard_dead, pause_queue, replay_dead, resume_queue, set_limit
from pgjobs.db.statements import statement
from pgjobs.flow.limits import LimitSettings
from pgjobs.jobs.outcome import RELEASED, Failed, Outcome, Retried
from pgjobs.worker.acknowledge.hand_over import statement_for
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_claims import LaneClaims
from pgjobs.worker.config import QueueSlots
from pgjobs.worker.local.local_queue import LocalQueue
from pgjobs.worker.runtime.completing import complete
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.runtime.registration import register
from pgjobs.worker.runtime.settle import settle
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker
from tests.support import tasks
from tests.system.model.flow_model import FlowJob, FlowModel

if TYPE_CHECKING:
    import psycopg

KINDS = [("a", None, None), ("b", None, None), (None, "s", None), (None, "t", None), ("a", "u", None), ("a", None, "x")]
TASK = tasks.mark_job.options(max_attempts=99)
PRIORITIES = [3, 5]
TENANTS = 25  # lanes without room, one behind the other: enough to be remembered as a run


class Worker:
    """One that claims, and remembers which lanes have no room."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self.id = register(conn, [QueueSlots("default")])
        self._conn = conn
        self._queue = LocalQueue("default", 9, 0)
        self._claims = LaneClaims("default", Intake(self._queue, SimpleQueue()), self.id)

    def claim(self, demand: int) -> list[tuple[int, int]]:
        """Claim once, and return jobs and claim numbers."""
        began = time.monotonic()
        with self._conn.transaction(), self._conn.cursor() as cursor:
            claim = self._claims.claim_rows(cursor, demand, 9, datetime.now(UTC))
        if claim.missing:
            self._conn.execute(statement("add_key_locks"), {"keys": sorted(claim.missing)})
        self._claims.record(claim, demand, began)
        return [(job.id, job.claim_number) for job in claim.jobs]

    def close(self) -> None:
        """Close what waits for signals."""
        self._queue.close()


class Turns:
    """Every step does the same to the database and to the model; after each, both have to agree."""

    def __init__(self, conn: psycopg.Connection, draw: random.Random) -> None:
        self.conn = conn
        self.draw = draw
        self.model = FlowModel()
        self.workers = [Worker(conn), Worker(conn)]
        for limit in ("a", "b"):
            self.set_limit(limit, 4)
        for kind, priority in product(KINDS, PRIORITIES):
            self.enqueue(kind, priority, 2)

    def close(self) -> None:
        for worker in self.workers:
            worker.close()

    def _start(self, worker: Worker, claimed: list[tuple[int, int]]) -> None:
        for number, claim_number in sorted(claimed):
            assert self.model.start(number, worker.id) == claim_number

    def _worker(self) -> Worker:
        return self.draw.choice(self.workers)

    def _running_of(self, worker: Worker) -> list[int]:
        running = sorted(self.model.running(worker.id))
        return self.draw.choice([running, self.draw.sample(running, self.draw.randint(0, len(running)))])

    def _one(self, status: str) -> list[int]:
        jobs = [number for number, job in self.model.jobs.items() if job.status == status]
        return [self.draw.choice(jobs)] if jobs else []

    # -- what is there to do

    def enqueue(self, kind: tuple[str | None, str | None, str | None], priority: int, jobs: int) -> None:
        limit, sequence, tenant = kind
        task = TASK.options(limit=limit, sequence=sequence, fair_by=tenant and "what", priority=priority)
        for handle in enqueue_many(self.conn, task, [(tenant or "",)] * jobs):
            self.model.jobs[handle.id] = FlowJob(limit, sequence, tenant, priority)

    def enqueue_some(self) -> None:
        self.enqueue(self.draw.choice(KINDS), self.draw.choice(PRIORITIES), self.draw.randint(1, 3))

    def enqueue_for_many_tenants(self) -> None:
        priority = self.draw.choice(PRIORITIES)
        for number in range(TENANTS):
            self.enqueue(("a", None, f"of-{number:02}"), priority, 1)

    def set_limit(self, limit: str, slots: int) -> None:
        set_limit(self.conn, limit, LimitSettings(slots))
        self.model.limits[limit] = slots

    def change_limit(self) -> None:
        self.set_limit(self.draw.choice(["a", "b"]), self.draw.randint(0, 9))

    def pause(self) -> None:
        self.model.paused = self.draw.random() < 0.3
        (pause_queue if self.model.paused else resume_queue)(self.conn, "default")

    def cancel(self) -> None:
        for number in self._one("waiting"):
            cancel_jobs(self.conn, [number])
            self.model.end(number, "cancelled")

    def replay(self) -> None:
        for number in self._one("failed"):
            replay_dead(self.conn, [number])
            self.model.end(number, "waiting")

    def discard(self) -> None:
        for number in self._one("failed"):
            discard_dead(self.conn, [number])
            self.model.end(number, "gone")

    # -- workers

    def claim(self) -> None:
        worker, demand = self._worker(), self.draw.randint(1, 9)
        claimed = worker.claim(demand)
        assert len(claimed) <= demand
        self._start(worker, claimed)

    def claim_all(self) -> None:
        """Claim until nothing is left that may start. What a worker remembers may be a second old."""
        worker, deadline = self._worker(), time.monotonic() + 10.0
        while self.model.startable():
            self._start(worker, worker.claim(50))
            assert time.monotonic() < deadline, f"not found: {self.model.startable()}"

    def hand_over(self) -> None:
        """Complete some jobs, as the acknowledger does while nothing else waits."""
        worker = self._worker()
        query = "SELECT id, lane FROM pgjobs.jobs_live WHERE worker_id = %s"
        lanes: dict[int, str] = dict(self.conn.execute(query, [worker.id]).fetchall())
        groups: dict[str | None, list[int]] = {}
        for number in self._running_of(worker):
            groups.setdefault(statement_for(lanes[number], 0.0, 1.0), []).append(number)
        for name, jobs in groups.items():
            claimed: list[tuple[Any, ...]] = []
            numbers = [self.model.jobs[number].claims for number in jobs]
            with self.conn.cursor() as cursor:
                assert not complete(cursor, worker.id, jobs, numbers, controlled=True, claiming=name, claimed=claimed)
            for number in jobs:
                self.model.end(number, "completed")
            expected = self.model.handed_over(jobs) if name else Counter()
            self._start(worker, [(row[0], row[1]) for row in claimed])
            got = Counter(self.model.jobs[row[0]].lane for row in claimed)
            # Where lanes share what is left of a limit that was lowered, some of it is left to claims.
            assert got <= expected
            assert got == +expected or len(expected) > 1

    def _settle(self, outcome: Outcome, status: str) -> None:
        worker = self._worker()
        some = self._running_of(worker)
        with self.conn.cursor() as cursor:
            claims = [Claim(number, self.model.jobs[number].claims) for number in some]
            assert not settle(cursor, worker.id, "host", [(claim, outcome) for claim in claims])
        for number in some:
            self.model.end(number, status)

    def retry(self) -> None:
        self._settle(Retried("no", 0.0), "waiting")

    def hand_back(self) -> None:
        self._settle(RELEASED, "waiting")

    def fail(self) -> None:
        self._settle(Failed("no"), "failed")

    def rescue(self) -> None:
        """Kill a worker before any of its jobs has started."""
        dead = self._worker()
        running = self.model.running(dead.id)
        assert settle_dead_worker(self.conn, WorkerExit(dead.id, "killed by SIGKILL")) == len(running)
        for number in running:
            self.model.end(number, "waiting")
        dead.close()
        self.workers[self.workers.index(dead)] = Worker(self.conn)

    # -- what has to hold after each step

    def they_agree(self) -> None:
        rows = self.conn.execute("SELECT id, status, claims, worker_id FROM pgjobs.jobs ORDER BY id").fetchall()
        found = {row[0]: (row[1], row[2], row[3] if row[1] == "running" else None) for row in rows}
        for number, job in self.model.jobs.items():
            status = "failed" if job.status == "gone" else job.status
            assert found[number] == (status, job.claims, job.worker if status == "running" else None)
        assert len(found) == len(self.model.jobs)


OFTEN = ["claim", "claim_all", "hand_over", "change_limit", "enqueue_some"]
RARELY = ["enqueue_for_many_tenants", "pause", "cancel", "replay", "discard", "retry", "hand_back", "fail", "rescue"]


@pytest.mark.parametrize("seed", range(2))
def test_only_what_may_run_together_does_and_all_of_it_is_found(conn: psycopg.Connection, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 (for a test)
    turns, steps = Turns(conn, draw), [*OFTEN * 3, *RARELY]
    done: list[str] = []
    try:
        for _ in range(150):
            done.append(draw.choice(steps))
            getattr(turns, done[-1])()
            turns.they_agree()
    except AssertionError as error:
        error.add_note(f"after {', '.join(done)}")
        raise
    finally:
        turns.close()
