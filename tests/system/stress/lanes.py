"""Which jobs could start now, and who could start them, by rules of its own: not one function of pgjobs is asked."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import psycopg

QUIET = 0.5  # seconds that a lane with room may wait for a free slot to take it
NOTICED = 1.0  # seconds more where a setting has made the room: workers notice it within a second
GAP = 0.25  # seconds between two looks: after more of them nothing is known
ALIVE = 1.5  # seconds since a heartbeat


class Waiting(NamedTuple):
    """A job that has not started. `due`: its time has come, and it has not expired."""

    id: int
    queue: str
    due: bool
    task: str
    held: str | None = None
    limit_key: str | None = None
    cost: float | None = None
    sequence: str | None = None
    breaker: str | None = None


class Running(NamedTuple):
    """A job that runs."""

    queue: str
    worker: int
    limit_key: str | None = None
    sequence: str | None = None


class Limit(NamedTuple):
    """A limit. `per_second`, `burst`: of its rate, None: it has none."""

    concurrency: int | None
    per_second: float | None = None
    burst: float | None = None


class Bucket(NamedTuple):
    """What was left of a rate, and how many seconds ago."""

    tokens: float
    age: float


@dataclass(frozen=True)
class Look:
    """What one look at the tables has seen. `blocked`: sequences with a dead letter that holds them up."""

    at: float = 0.0
    waiting: list[Waiting] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    slots: dict[int, dict[str, int]] = field(default_factory=dict)  # of live workers, by queue
    limits: dict[str, Limit] = field(default_factory=dict)
    queues: dict[str, Limit] = field(default_factory=dict)
    buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()  # queues
    paused_tasks: frozenset[str] = frozenset()
    all_paused: bool = False
    closed_off: frozenset[str] = frozenset()  # breakers that are not closed
    blocked: frozenset[str] = frozenset()


def free_slots(look: Look, known: set[tuple[int, str]] | None = None) -> dict[str, int]:
    """Count the slots that live workers have free, by queue. `known`: workers and queues that are looked at."""
    used = Counter((job.worker, job.queue) for job in look.running)
    free: Counter[str] = Counter()
    for worker, slots in look.slots.items():
        for queue, number in slots.items():
            if known is None or (worker, queue) in known:
                free[queue] += max(0, number - used[worker, queue])
    return dict(free)


def startable(look: Look) -> list[Waiting]:
    """List the jobs that nothing holds up."""
    if look.all_paused:
        return []
    by_limit = Counter(job.limit_key for job in look.running)
    by_queue = Counter(job.queue for job in look.running)
    busy = {job.sequence for job in look.running}
    heads: dict[str, int] = {}
    for job in look.waiting:
        if job.sequence is not None:
            heads[job.sequence] = min(job.id, heads.get(job.sequence, job.id))

    def is_free(job: Waiting) -> bool:
        if not job.due or job.held not in (None, "later") or job.queue in look.paused:
            return False
        if job.breaker in look.closed_off or job.task in look.paused_tasks:
            return False
        if job.sequence is not None and (
            job.sequence in busy or job.sequence in look.blocked or heads[job.sequence] != job.id
        ):
            return False
        queue = look.queues.get(job.queue)
        if queue is not None and not has_room(queue, by_queue[job.queue], look.buckets.get(("queue", job.queue)), 1.0):
            return False
        key = job.limit_key
        limit = None if key is None else look.limits.get(key, look.limits.get(key.rpartition(":")[0] + ":*"))
        return limit is None or has_room(limit, by_limit[key], look.buckets.get(("limit", key or "")), job.cost or 1.0)

    return [job for job in look.waiting if is_free(job)]


def has_room(limit: Limit, running: int, bucket: Bucket | None, cost: float) -> bool:
    """Return True if one more may start."""
    if limit.concurrency is not None and running >= limit.concurrency:
        return False
    if limit.per_second is None or limit.burst is None or bucket is None:
        return True
    return min(limit.burst, bucket.tokens + bucket.age * limit.per_second) >= min(cost, 1.0)


class Idle(NamedTuple):
    """A job that could have started for some time, while a slot was free; seen at that time."""

    job: Waiting
    at: float
    seconds: float


class Watch:
    """Follows looks, and finds jobs that could start in all of them. Those in `excused` may be locked.

    Times are those of a machine on which no process waits for a core. Where several do, each second counts for less.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.watched = 0.0  # seconds in which some job could have started
        self._since: dict[int, tuple[float, float]] = {}  # by job: the clock when it could start, how long it may wait
        self._clock = 0.0
        self._told: set[int] = set()
        self._known: set[tuple[int, str]] = set()  # workers that have claimed: one may be registered, and not begun
        self._before = 0.0

    def forget(self) -> None:
        """Begin again: something happened that explains why jobs wait."""
        self._since.clear()

    def see(
        self, look: Look, excused: frozenset[int] = frozenset(), *, changed: bool = False, crowd: float = 1.0
    ) -> list[Idle]:
        """Return the jobs that have waited for too long; each only once.

        `changed`: a setting, a moment ago. `crowd`: processes that could run now, for each core.
        """
        if look.at - self._before > GAP:
            self.forget()
        passed = (look.at - self._before) / max(1.0, crowd)
        self._clock += passed
        self.watched += passed if self._since else 0.0
        self._before = look.at
        self._known |= {(job.worker, job.queue) for job in look.running}
        free = free_slots(look, self._known)
        could = {job.id: job for job in startable(look) if free.get(job.queue) and job.id not in excused}
        begin = self._clock, QUIET + (NOTICED if changed else 0.0)
        self._since = {job: self._since.get(job, begin) for job in could}
        found = []
        for job, (since, allowed) in self._since.items():
            seconds = self._clock - since
            if allowed == QUIET:
                self.longest = max(self.longest, seconds)
            if seconds > allowed and job not in self._told:
                self._told.add(job)
                found.append(Idle(could[job], look.at, seconds))
        return found


def crowd() -> float:
    """Return how many processes could run now, for each core of the machine; there is no such file elsewhere."""
    path = Path("/proc/loadavg")
    running = int(path.read_text().split()[3].partition("/")[0]) - 1 if path.exists() else 1
    return running / (os.cpu_count() or 1)


LIVE = """
    SELECT status, id, queue, run_at <= clock_timestamp() AND (expires_at > clock_timestamp()) IS NOT FALSE AS due,
           task, held, limit_key, cost, sequence, breaker, worker_id
    FROM pgjobs.jobs WHERE status IN ('queued', 'waiting', 'running')
"""
OTHERS = """
    SELECT extract(epoch FROM clock_timestamp())::float8,
           (SELECT coalesce(jsonb_object_agg(id, queues), '{}') FROM pgjobs.workers
            WHERE state = 'running' AND heartbeat_at > clock_timestamp() - %(alive)s * interval '1 s'),
           (SELECT coalesce(jsonb_object_agg(name, jsonb_build_array(
                concurrency, rate / extract(epoch FROM period), coalesce(burst, rate))), '{}') FROM pgjobs.limits),
           (SELECT coalesce(jsonb_object_agg(name, jsonb_build_array(
                concurrency, rate / extract(epoch FROM period), coalesce(burst, rate))), '{}') FROM pgjobs.queues),
           (SELECT coalesce(jsonb_agg(jsonb_build_array(
                kind, name, tokens, extract(epoch FROM clock_timestamp() - at))), '[]') FROM pgjobs.buckets),
           (SELECT coalesce(jsonb_agg(name), '[]') FROM pgjobs.queues WHERE paused),
           (SELECT coalesce(jsonb_agg(task), '[]') FROM pgjobs.paused_tasks),
           (SELECT coalesce(bool_or(paused), false) FROM pgjobs.switch),
           (SELECT coalesce(jsonb_agg(name), '[]') FROM pgjobs.breakers WHERE state <> 'closed'),
           (SELECT coalesce(jsonb_agg(sequence), '[]') FROM pgjobs.dead_jobs
            WHERE sequence IS NOT NULL AND (coalesce(on_failure, 'block') = 'block' OR ends_sequence))
"""


def look(conn: psycopg.Connection[Any]) -> Look:
    """Look at the tables, all at one moment."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        others = conn.execute(OTHERS, {"alive": ALIVE}).fetchone()
        rows = conn.execute(LIVE).fetchall()
    assert others is not None
    at, slots, limits, queues, buckets, paused, paused_tasks, all_paused, closed_off, blocked = others
    return Look(
        at,
        [Waiting(*row[1:10]) for row in rows if row[0] != "running"],
        [Running(row[2], row[10], row[6], row[8]) for row in rows if row[0] == "running"],
        {int(worker): number for worker, number in slots.items()},
        {name: Limit(*values) for name, values in limits.items()},
        {name: Limit(*values) for name, values in queues.items()},
        {(kind, name): Bucket(tokens, age) for kind, name, tokens, age in buckets},
        frozenset(paused),
        frozenset(paused_tasks),
        all_paused,
        frozenset(closed_off),
        frozenset(blocked),
    )
