"""Rounds of load, changes and faults. In the end of each all jobs end, and then it is audited."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from pgjobs import admin
from pgjobs.core.errors import PgjobsError
from tests.system.chaos.scenario import Scenario
from tests.system.chaos.stage import QUICK, Stage
from tests.system.soak.aging import KEEP_A_DAY, LOOK_NOW, MAKE_DAYS
from tests.system.stress import changes, lanes, load, plan, trace
from tests.system.stress.audit import audit
from tests.system.stress.audit.fault import Fault
from tests.system.stress.faults import HOSTS, Faults
from tests.system.stress.tables import forget, make_tables
from tests.system.stress.tasks import URL
from tests.system.stress.trace import Strike

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.chaos.cluster import Cluster

GRACE = 6.0  # seconds after a fault in which lanes may stand still
LOOK = 0.1  # seconds between two looks
PATIENCE = 60.0  # seconds without any progress until the jobs that are left count as stuck
LATE = 0.3  # seconds after a change of a setting in which it may be the reason that a job can start
NO_PROGRESS = 1.0  # seconds until jobs that are left may wait for what does not come
LOADERS = 3
OPERATORS = 2
SAMPLE = """
    SELECT (SELECT count(*) FROM pgjobs.jobs WHERE status IN ('queued', 'waiting', 'running')),
           ARRAY (SELECT job FROM stress.calls ORDER BY job DESC LIMIT 40),
           ARRAY (SELECT id FROM pgjobs.jobs WHERE status IN ('queued', 'waiting') ORDER BY random() LIMIT 8),
           ARRAY (SELECT id FROM pgjobs.jobs_live WHERE status = 'running' ORDER BY random() LIMIT 4),
           ARRAY (SELECT id FROM pgjobs.jobs WHERE status IN ('failed', 'cancelled') AND id >= %(first)s
                  ORDER BY id DESC LIMIT 8),
           ARRAY (SELECT id FROM pgjobs.dead_jobs ORDER BY random() LIMIT 8),
           ARRAY (SELECT name FROM pgjobs.queues WHERE paused), ARRAY (SELECT task FROM pgjobs.paused_tasks),
           (SELECT coalesce(bool_or(paused), false) FROM pgjobs.switch)
"""
LEFT = "SELECT id, status FROM pgjobs.jobs WHERE status IN ('queued', 'waiting', 'running') ORDER BY id"
AGE = """
    UPDATE pgjobs.jobs_history SET finished_at = finished_at - interval '3 days'
    WHERE id < %s AND finished_at > now() - interval '1 day'
"""


class Stress(Stage):
    """The play. `counts`: what was done; `faults`: what may not be; `longest`: seconds that a lane had to wait;
    `watched`: seconds in which one could have waited.
    """

    usual = (
        *("-q", "mixed:4", "-q", "limited:3", "-q", "forgets:2", "-q", "heavy:1", "--grace", 3),
        *("--import", "tests.system.stress.tasks"),
        *QUICK,
    )

    def __init__(
        self, cluster: Cluster, place: Path, seed: int, seconds: float, tell: Callable[..., None], processes: int = 2
    ) -> None:
        env, options = {URL: cluster.url}, ("--processes", processes)
        scenario = Scenario("stress", "stress", lambda stage: None, seconds, {}, env=env, options=options)
        super().__init__(scenario, cluster, place, seed, seconds)
        self.processes = processes
        self.counts: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.longest = 0.0
        self.watched = 0.0
        self._tell = tell
        self._faults = Faults(self)
        self._stop = threading.Event()
        self._first = 0
        self._phase: plan.Phase = "calm"
        self._strikes: list[Strike] = []
        self._excused: dict[int, float] = {}  # jobs that a transaction of an operator has locked, until when
        self._changed = 0.0  # when a setting was changed last
        self._struck = 0.0
        self._striking = False
        self._view = plan.View()

    # -- The rounds --------------------------------------------------------------------------------------------------

    def stress(self, round_seconds: float) -> list[Fault]:
        """Play rounds until the time is over, or something is wrong."""
        with self._stack:
            try:
                with self.cluster.connected() as conn:
                    make_tables(conn)
                    conn.execute(KEEP_A_DAY)
                    for queue in plan.QUEUES:
                        conn.execute(
                            "INSERT INTO pgjobs.queues (name, keep_completed) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                            [queue, queue != "forgets"],
                        )
                for _ in range(HOSTS):
                    self.start_worker()
                self._wait_for_workers()
                deadline = time.monotonic() + self.seconds
                while (left := deadline - time.monotonic()) > 1 and not self.faults:
                    self._round(min(left, round_seconds))
                wrong = self._stop_workers() + self._leftovers()
                self.faults += [Fault("left behind", text, time.time()) for text in wrong]
            finally:
                self._stop.set()
                self._faults.wait()
                self.proxy.close()
                self._keep_logs()
        return self.faults

    def _round(self, seconds: float) -> None:
        self.counts["rounds"] += 1
        with self.cluster.connected() as conn:
            row = conn.execute("SELECT last_value + is_called::int FROM pgjobs.jobs_id_seq").fetchone()
            assert row is not None
            self._first = row[0]
            forget(conn)
            conn.execute(MAKE_DAYS, {"days": 3})
            with suppress(psycopg.errors.LockNotAvailable), conn.transaction():
                conn.execute("SET LOCAL lock_timeout = '5s'")
                conn.execute(AGE, [self._first])
                conn.execute(LOOK_NOW)
            changes.set_up(conn)
        self._strikes.clear()
        self._view = plan.View()  # no job of this round waits for one of the last, of which nothing is known now
        self._stop = threading.Event()
        self._tell("round", number=self.counts["rounds"], first=self._first)
        watching = threading.Event()
        works = [self._thread(self._enqueue, number) for number in range(LOADERS)]
        works += [self._thread(self._change, LOADERS + number) for number in range(OPERATORS)]
        watcher = threading.Thread(target=self._watch, args=(watching,), daemon=True)
        watcher.start()
        for phase, length in plan.phases(self.dice, seconds):
            self._phase = phase
            until = time.monotonic() + length
            while (left := until - time.monotonic()) > 0:
                pause = plan.pause_before(self.dice, phase)
                time.sleep(min(left, pause) if pause else left)
                if pause and pause < left:
                    self._strike(plan.next_fault(self.dice))
        self._stop.set()
        for thread in works:
            thread.join(30)
            assert not thread.is_alive(), "a thread of the stress hangs"
        self._faults.wait()
        self._faults.refill()
        stuck = self._settle()
        watching.set()
        watcher.join(30)
        self._audit_round(stuck)

    def _thread(self, function: Callable[[psycopg.Connection[Any], random.Random], None], number: int) -> Any:
        dice = random.Random(f"{self.seed} {self.counts['rounds']} {number}")  # noqa: S311 (no secret)
        thread = threading.Thread(target=self._repeat, args=(function, dice, self._stop), daemon=True)
        thread.start()
        return thread

    def _repeat(self, function: Callable[..., None], dice: random.Random, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(self.cluster.url, autocommit=True, connect_timeout=5) as conn:
                    while not stop.is_set():
                        function(conn, dice)
            except psycopg.Error as error:
                self.counts["errors of the server"] += 1
                if not isinstance(error, psycopg.OperationalError):
                    self._tell("error", text=str(error))
                stop.wait(0.1)
            except Exception:
                self.faults.append(Fault("the stress itself", traceback.format_exc(), time.time()))
                return

    # -- What happens in a round ---------------------------------------------------------------------------------------

    def _enqueue(self, conn: psycopg.Connection[Any], dice: random.Random) -> None:
        call = plan.next_call(dice, self._view)
        if call is None:
            self._stop.wait(0.05)
            return
        jobs = load.perform(conn, call)
        self.counts["jobs"] += len(jobs)
        self._tell("call", **call._asdict() | {"jobs": jobs})
        self._stop.wait(dice.uniform(0.0, 0.15))

    def _change(self, conn: psycopg.Connection[Any], dice: random.Random) -> None:
        self._view = self._look_around(conn)
        step = plan.next_change(dice, self._view)
        if step.values.get("ids") != []:
            self._tell("change", step=step.kind, **step.values)
            try:
                changes.perform(conn, step, lambda ids: self._excuse(ids, step.values["hold"]))
                self.counts["changes"] += 1
            except PgjobsError as error:
                self._tell("refused", text=str(error))
            self._changed = time.monotonic()
        self._stop.wait(dice.uniform(0.02, 0.25) if self._phase == "storm" else dice.uniform(0.1, 0.6))

    def _excuse(self, ids: list[int], seconds: float) -> None:
        for job in ids:
            self._excused[job] = time.monotonic() + seconds + 0.5

    def _look_around(self, conn: psycopg.Connection[Any]) -> plan.View:
        row = conn.execute(SAMPLE, {"first": self._first}).fetchone()
        assert row is not None
        live, recent, waiting, running, ended, letters, queues, tasks, everything = row
        paused = [("queue", name) for name in queues] + [("task", name) for name in tasks]
        paused += [("all", "")] if everything else []
        return plan.View(
            live,
            tuple(recent),
            tuple(waiting),
            tuple(running),
            tuple(ended),
            tuple(letters),
            tuple(paused),
            self._phase,
        )

    def _strike(self, step: plan.Step) -> None:
        self._tell("fault", step=step.kind, **step.values)
        began = time.time()
        self.counts["faults"] += 1
        self.strikes += 1
        self._striking = True
        try:
            self._faults.strike(step)
        finally:
            lasts = step.values.get("seconds", 0.0) if step.kind.startswith("stop") else 0.0
            self._struck = max(self._struck, time.monotonic() + lasts)
            self._striking = False
            self._strikes.append(Strike(step.kind, began, time.time() + lasts))

    def _watch(self, over: threading.Event) -> None:
        """Look for lanes with room and a free slot, while nothing explains why they wait."""
        watch = lanes.Watch()
        while not over.is_set():
            try:
                with psycopg.connect(self.cluster.url, autocommit=True, connect_timeout=5) as conn:
                    while not over.wait(LOOK):
                        now = time.monotonic()
                        if self._striking or now < self._struck + GRACE:
                            watch.forget()
                            continue
                        self.counts["looks"] += 1
                        excused = frozenset(job for job, until in self._excused.items() if until > now)
                        for idle in watch.see(
                            lanes.look(conn), excused, changed=now < self._changed + LATE, crowd=lanes.crowd()
                        ):
                            text = f"could have started for {idle.seconds:.2f} s, with a free slot: {idle.job}"
                            self.faults.append(Fault("idle lane", text, idle.at, idle.job.queue, (idle.job.id,)))
                            self._tell("idle", text=text)
            except psycopg.Error:
                watch.forget()
                over.wait(0.1)
            except Exception:
                self.faults.append(Fault("the stress itself", traceback.format_exc(), time.time()))
                return
        self.longest = max(self.longest, watch.longest)
        self.watched += watch.watched

    # -- The end of a round ------------------------------------------------------------------------------------------

    def _settle(self) -> list[int]:
        """End all jobs: nothing fails now, nothing is held up. Return those that do not end."""
        with self.cluster.connected() as conn:
            changes.lift(conn)
            self._changed = time.monotonic()
            before, since = [(0, "")], time.monotonic()  # what was left at the last look, and since when it is the same
            latest = since + 10 * PATIENCE
            while time.monotonic() < min(since + PATIENCE, latest):
                letters = [row[0] for row in conn.execute("SELECT id FROM pgjobs.dead_jobs").fetchall()]
                replayed = [job for job in letters if self.dice.random() < 0.5]
                admin.replay_dead(conn, replayed)
                admin.discard_dead(conn, [job for job in letters if job not in replayed])
                left = conn.execute(LEFT).fetchall()
                if not left and not letters:
                    return []
                if left != before:
                    before, since = left, time.monotonic()
                elif time.monotonic() > since + NO_PROGRESS:
                    self.counts["hopeless"] += changes.cancel_hopeless(conn)
                time.sleep(0.1)
            return [row[0] for row in left]

    def _audit_round(self, stuck: list[int]) -> None:
        with self.cluster.connected() as conn:
            seen = trace.read(conn, self._first, list(self._strikes))
            if stuck:
                reasons = "; ".join(f"{job}: {admin.why(conn, job)}" for job in stuck[:5])
                self.faults.append(Fault("no end", reasons, time.time(), "", tuple(stuck)))
        histories = trace.Histories(seen)
        self.counts["runs"] += len(seen.runs)
        self.counts["claims"] += len(histories.claims)
        found = audit(histories)
        self.faults += found
        for fault in self.faults:
            about = {job: [tuple(state[:4]) for state in histories.jobs.get(job, [])] for job in fault.jobs[:6]}
            self._tell("FAULT", **fault._asdict(), about=about)
        if self.faults:
            rows: list[Any] = [
                *seen.moves,
                *seen.letters,
                *seen.settings,
                *seen.runs,
                *seen.unique_calls,
                *seen.strikes,
            ]
            for row in rows:
                self._tell("seen", what=type(row).__name__, row=row._asdict())
