"""The run: a server, a load, two supervisors, and the threads that strike, sample, probe and audit."""

from __future__ import annotations

import json
import platform
import threading
import time
import traceback
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
from benchmarks.machine import commit

from pgjobs import enqueue
from tests.system.chaos import load as chaos_load
from tests.system.chaos.auditor import KEEPS_RESULT
from tests.system.chaos.load import Load
from tests.system.chaos.scenario import Scenario
from tests.system.chaos.stage import Stage
from tests.system.soak import tasks
from tests.system.soak.aging import KEEP_A_DAY, age
from tests.system.soak.effects import Effects
from tests.system.soak.faults import FAULTS
from tests.system.soak.sampler import Lines, look_at_database, look_at_processes
from tests.system.soak.slices import NEVER, TABLE, Slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.worker import Work
    from tests.system.chaos.auditor import Line
    from tests.system.chaos.cluster import Cluster

OPTIONS = ("-q", "pings:4", "--import", "tests.system.soak.tasks", "--heartbeat", 1, "--rescue-after", 10)
# Without results: they are kept for days, and history here for minutes.
KINDS: chaos_load.Kinds = [
    *(kind for kind in chaos_load.KINDS if kind[1] != KEEPS_RESULT),
    (4, "ping", chaos_load.one(tasks.ping, 0, 1)),
]
PAUSE = 0.1  # seconds between two transactions of one of three threads: some 90 jobs a second
SAMPLE = 5.0  # seconds between two samples
PROBE = 0.5  # seconds between two probes
SLICE = 30.0  # seconds between two audits
FAULT = (20.0, 40.0)  # seconds between two faults
KEPT = 300.0  # seconds that history is kept
SETTLED = 60.0  # seconds after its end that a job is audited


class Soak(Stage):
    """A stage that is played on for hours, and writes down what it sees in a file of JSON lines."""

    def __init__(self, cluster: Cluster, place: Path, seed: int, seconds: float, to: Path) -> None:
        super().__init__(
            Scenario("soak", "soak", lambda stage: None, seconds, {}, options=OPTIONS, through=("work",)),
            cluster,
            place,
            seed,
            seconds,
        )
        self.load = Load(cluster.url, self.dice, pause=PAUSE, kinds=KINDS)
        self.slices = Slices(Effects(self.effects), self.load.promised)
        self.auditing = threading.Lock()  # no server is stopped in the middle of an audit
        self.over = threading.Event()
        self.broken: list[str] = []  # threads of the soak itself that failed
        self.struck: Counter[str] = Counter()
        self._file = to.open("w")
        self._writing = threading.Lock()
        self._began = time.monotonic()
        self._probes: dict[int, float] = {}
        self._logs: dict[int, Lines] = {}
        self._short = min(1.0, seconds / 600)  # so that a run of a minute has some of everything

    # -- For faults --------------------------------------------------------------------------------------------------

    def a_work(self) -> Work:
        """Choose a supervisor that runs, and is not the calm one."""
        return self.dice.choice([one for one in self.works[1:] if one.process.poll() is None])

    def a_member(self) -> int | None:
        members = self.a_work().members()
        return self.dice.choice(sorted(members)) if members else None

    @contextmanager
    def noted(self, name: str) -> Iterator[None]:
        """Note a fault, from its beginning to its end."""
        self.struck[name] += 1
        self.strikes += 1
        began = time.monotonic() - self._began
        try:
            yield
        finally:
            self.write("fault", name=name, began=round(began, 2))

    def tolerant(self, function: Callable[[], None]) -> Callable[[], None]:
        """Return a function that does not mind if the server goes away, and tells of any other error."""

        def run() -> None:
            try:
                function()
            except psycopg.Error:
                pass
            except BaseException:
                self.broken.append(traceback.format_exc())

        return run

    def write(self, kind: str, **values: Any) -> None:
        """Write a line."""
        line = json.dumps({"kind": kind, "at": round(time.monotonic() - self._began, 2), **values})
        with self._writing:
            print(line, file=self._file, flush=True)

    # -- The run -----------------------------------------------------------------------------------------------------

    def soak(self) -> list[str]:
        """Run, and say what was wrong, growth aside."""
        wrong = []
        with self._stack:
            try:
                self._begin()
                threads = [
                    threading.Thread(target=self._repeat, args=(function, pause), daemon=True)
                    for function, pause in (
                        (self._sample, SAMPLE),
                        (self._probe, PROBE),
                        (self._audit_slice, max(5.0, SLICE * self._short)),
                    )
                ]
                for thread in threads:
                    thread.start()
                self._strike()
                self.over.set()
                for thread in threads:
                    thread.join(120)
                    if thread.is_alive():
                        wrong.append("a thread of the soak hangs")
                self.load.stop()
                wrong += self._settle_down()
                with self.cluster.connected() as conn:
                    conn.execute("SET work_mem = '256MB'")
                    self._tell(self.slices.look(conn, 0.0))
                    self.slices.finish(conn)
                wrong += self._stop_workers()
                wrong += self._leftovers()
            finally:
                self.over.set()
                self.load.stop()
                self.proxy.close()
        counts = self.slices.counts
        wrong += [f"{name}: {counts[name]}" for name in NEVER if counts[name]]
        wrong += self.broken
        self.write("end", counts=dict(counts), faults=dict(self.struck), wrong=wrong, load_errors=self.load.errors)
        self._file.close()
        return wrong

    def _begin(self) -> None:
        with self.cluster.connected() as conn:
            conn.execute(TABLE)
            conn.execute(KEEP_A_DAY)
            conn.execute("INSERT INTO pgjobs.queues (name, keep_completed) VALUES ('pings', false)")
            row = conn.execute("SHOW server_version").fetchone()
        self.write(
            "begin",
            seed=self.seed,
            seconds=self.seconds,
            date=datetime.now(UTC).date().isoformat(),
            postgresql=str(row[0]).split()[0] if row else "",
            python=platform.python_version(),
            cores=psutil.cpu_count(),
            commit=commit(),
        )
        through, self.worker_url = self.worker_url, self.cluster.url
        self.start_worker()  # the calm one
        self.worker_url = through
        self.start_worker()
        self.load.start()
        self.wait_for_load()

    def _repeat(self, function: Callable[[], None], pause: float) -> None:
        while not self.over.wait(pause):
            self.tolerant(function)()

    def _strike(self) -> None:
        deadline = time.monotonic() + self.seconds
        weights = [weight for weight, _, _ in FAULTS]
        short = max(0.1, self._short)
        while True:
            pause = self.dice.uniform(*FAULT) * short
            if time.monotonic() + pause >= deadline:
                self.over.wait(max(0.0, deadline - time.monotonic()))
                return
            time.sleep(pause)
            _, name, strike = self.dice.choices(FAULTS, weights)[0]
            if not name:
                strike(self)
                continue
            with self.noted(name):
                strike(self)

    def _sample(self) -> None:
        calm = self.works[0]
        alive = [one for one in self.works if one.process.poll() is None]
        processes = {one.pid: look_at_processes(one) for one in alive}
        for one in alive:
            self._logs.setdefault(one.pid, Lines()).read(one.log)
        found: dict[str, Any] = {
            "calm": processes.get(calm.pid),
            "all": [row for by_role in processes.values() for rows in by_role.values() for row in rows],
            "lines": sum(log.lines for log in self._logs.values()),
            "complaints": sum(log.complaints for log in self._logs.values()),
            "server_lines": self.cluster.log().count("\n"),
            "busy": psutil.cpu_percent(),  # of the whole machine, since the last sample
            "own": round(psutil.Process().memory_info().rss / 1e6, 1),
            "unaudited_lines": sum(map(len, list(self.slices.window.lines.values()))),
        }
        try:
            with psycopg.connect(self.cluster.url, connect_timeout=3, autocommit=True) as conn:
                conn.execute("SET lock_timeout = '2s'; SET statement_timeout = '10s'")
                found["database"] = look_at_database(conn)
        except psycopg.Error as error:
            found["no_database"] = type(error).__name__
        self.write("sample", **found)

    def _probe(self) -> None:
        with psycopg.connect(self.cluster.url, connect_timeout=5, tcp_user_timeout=5000) as conn:
            while not self.over.is_set():
                job = enqueue(conn, tasks.probe).id
                conn.execute("INSERT INTO ledger (job, kind) VALUES (%s, 'probe')", [job])
                self._probes[job] = time.monotonic()
                conn.commit()
                self.over.wait(PROBE)

    def _audit_slice(self) -> None:
        with self.auditing, self.cluster.connected() as conn:
            # Room enough, so that temporary files are not the auditor's.
            conn.execute("SET lock_timeout = '10s'; SET work_mem = '256MB'")
            self._tell(self.slices.look(conn, SETTLED * self._short))
            with suppress(psycopg.errors.LockNotAvailable):
                self.write("aged", jobs=age(conn, KEPT * self._short))
            self.write("slice", counts=dict(self.slices.counts), open=len(self.load.promised))

    def _tell(self, lines: list[Line]) -> None:
        """Write down when runs ended, and how long probes had to wait."""
        ends = Counter(int(line.at - self._began) for line in lines if line.kind != "start")
        if ends:
            self.write("runs", ends=sorted(ends.items()))
        waits = []
        for line in lines:
            if line.kind == "start" and line.job in self._probes:
                sent = self._probes.pop(line.job)
                waits.append((round(sent - self._began, 2), round((line.at - sent) * 1000, 2)))
        if waits:
            self.write("probes", waits=waits)
        before = time.monotonic() - 600
        for job in [job for job, sent in list(self._probes.items()) if sent < before]:
            del self._probes[job]  # its transaction came to nothing
