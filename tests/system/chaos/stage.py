"""One scenario: its server, load, workers and proxy; what was done to them, and what came of it."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from pgjobs import enqueue_many
from tests.support.processes import wait_until
from tests.support.worker import Work, marked, work
from tests.system.chaos import tasks
from tests.system.chaos.auditor import audit, read_lines, widest
from tests.system.chaos.cluster import DATABASE, Cluster, running
from tests.system.chaos.load import Load
from tests.system.chaos.proxy import Proxy
from tests.system.chaos.scenario import NEVER, SOMETIMES, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
USUAL = ("-q", "default:6", "-q", "heavy:1", "--processes", 2, "--grace", 5, "--import", "tests.system.chaos.tasks")
QUICK = ("--heartbeat", 0.5, "--rescue-after", 2.0)
SLOTS = 12  # of the queue `default`, a supervisor
FLOOD = 20.0  # warnings and errors a second and a worker process, during an outage
LOCKS = """
    SELECT pid, mode, relation::regclass FROM pg_locks
    WHERE pid NOT IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')
      AND pid <> pg_backend_pid() AND locktype <> 'virtualxid'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
BUSY = 0.6  # of a core, during an outage


@dataclass
class Outage:
    """A time without a server. Seconds: of CPU that the workers used, and until the next run ended."""

    began: float
    ended: float = 0.0
    cpu: float = 0.0
    lines: int = 0
    recovered_in: float | None = None


@dataclass
class Result:
    """What came of a scenario."""

    scenario: str
    seed: int
    seconds: float
    strikes: int
    counts: dict[str, int]
    recovered_in: float | None = None
    cpu: float | None = None
    lines_a_second: float | None = None
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Stage:
    """What a scenario's `strike` gets. `usual`: the options of its workers, beside those of the scenario."""

    usual: tuple[object, ...] = (*USUAL, *QUICK)
    processes = 2  # of each supervisor

    def __init__(self, scenario: Scenario, cluster: Cluster, place: Path, seed: int, seconds: float) -> None:
        self.scenario = scenario
        self.cluster = cluster
        self.place = place
        self.seed = seed
        self.seconds = seconds
        self.dice = random.Random(f"{seed} {scenario.name}")  # noqa: S311 (no secret)
        self.effects = place / "effects"
        self.temporary = place / "tmp"
        self.temporary.mkdir()
        self.temporary.chmod(0o777)
        self.proxy = Proxy(cluster.port)
        self.works: list[Work] = []
        self.outages: list[Outage] = []
        self.notes: list[str] = []
        self.own: list[int] = []
        self.fragile: set[int] = set()  # jobs beside them that have one attempt
        self.odd: dict[int, Any] = {}  # jobs that misbehave, and what is expected of them: see scenarios/jobs.py
        self.strikes = 0
        self.env: dict[str, str] = {}  # of the workers, beside that of the scenario
        self.prop: Any = None  # what a scenario's `before` keeps for its `strike`
        self.worker_url = self.through_proxy if "work" in scenario.through else cluster.url
        self.load = Load(self.through_proxy if "load" in scenario.through else cluster.url, self.dice)
        self.logs: Path | None = None
        self._stack = ExitStack()

    @property
    def through_proxy(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.proxy.port}/{DATABASE}"

    # -- For strikes -------------------------------------------------------------------------------------------------

    def until_over(self, low: float, high: float) -> Iterator[int]:
        """Count strikes until the time is over, with pauses of `low` to `high` seconds before each."""
        deadline = time.monotonic() + self.seconds
        while True:
            time.sleep(self.dice.uniform(low, high))
            if time.monotonic() >= deadline and self.strikes:
                return
            self.strikes += 1
            yield self.strikes

    @contextmanager
    def outage(self) -> Iterator[Outage]:
        """Note that there is no server meanwhile."""
        outage = Outage(time.monotonic())
        cpu, lines = self._cpu(), self._complaints()
        yield outage
        outage.ended = time.monotonic()
        outage.cpu = self._cpu() - cpu
        outage.lines = self._complaints() - lines
        self.outages.append(outage)

    def start_worker(self, *options: object, env: dict[str, str] | None = None) -> Work:
        """Start a supervisor with its workers."""
        given: dict[str, str] = {
            tasks.EFFECTS: str(self.effects),
            "TMPDIR": str(self.temporary),
            **self.scenario.env,
            **self.env,
        }
        given |= env or {}
        started = self._stack.enter_context(
            work(self.worker_url, *self.usual, *self.scenario.options, *options, env=given, ready=False)
        )
        self.works.append(started)
        return started

    def a_work(self) -> Work:
        """Choose a supervisor that runs."""
        alive = [one for one in self.works if one.process.poll() is None]
        return self.dice.choice(alive)

    def a_member(self) -> int | None:
        """Choose a worker process that runs."""
        members = sorted(pid for one in self.works if one.process.poll() is None for pid in one.members())
        return self.dice.choice(members) if members else None

    def ended(self) -> int:
        """Count the runs that have ended."""
        return sum(line.kind != "start" for line in read_lines(self.effects))

    def wait_for_load(self) -> None:
        """Wait until jobs have been running for a moment."""
        wait_until(lambda: self.ended() > 20, 30)

    def enter(self, context: AbstractContextManager[T]) -> T:
        """Enter a context that ends with the scenario."""
        return self._stack.enter_context(context)

    def note(self, text: str) -> None:
        """Add something to the result."""
        self.notes.append(text)

    # -- The play ----------------------------------------------------------------------------------------------------

    def play(self) -> Result:
        """Play the scenario, and give what came of it."""
        began = time.monotonic()
        with self._stack:
            try:
                if self.scenario.before is not None:
                    self.scenario.before(self)
                for _ in range(self.scenario.workers):
                    self.start_worker()
                self._wait_for_workers()
                self.load.start()
                self.wait_for_load()
                self.scenario.strike(self)
                time.sleep(0.5)
                self.load.stop()
                over = time.monotonic()
                wrong = self._settle_down()
                if self.scenario.check is not None:
                    wrong += self.scenario.check(self)
                wrong += self._slots_left()
                counts = self._audit()
                wrong += self._stop_workers()
                if self.scenario.after is not None:
                    wrong += self.scenario.after(self)
                wrong += self._leftovers()
            finally:
                self.load.stop()
                self.proxy.close()
                self._keep_logs()
        recovered = self._recovery(over)
        wrong += self._judge(counts, recovered)
        lasting = [outage for outage in self.outages if outage.ended - outage.began >= 2.0]
        time_away = sum(outage.ended - outage.began for outage in lasting)
        return Result(
            self.scenario.name,
            self.seed,
            round(time.monotonic() - began, 1),
            self.strikes,
            dict(counts),  # `asdict` spoils a Counter
            recovered,
            sum(outage.cpu for outage in lasting) / time_away if lasting else None,
            sum(outage.lines for outage in lasting) / time_away if lasting else None,
            wrong,
            self.notes,
        )

    def _wait_for_workers(self) -> None:
        with self.cluster.connected() as conn:
            query = "SELECT count(*) FROM pgjobs.workers"
            wait_until(lambda: conn.execute(query).fetchone() == (self.processes * len(self.works),), 30)

    def _live(self) -> int:
        with self.cluster.connected() as conn:
            query = "SELECT (SELECT count(*) FROM pgjobs.jobs_live) + (SELECT count(*) FROM pgjobs.jobs_waiting)"
            row = conn.execute(query).fetchone()
            assert row is not None
            return int(row[0])

    def _settle_down(self) -> list[str]:
        """Wait until all jobs have ended. There has to be a worker for that, whatever was killed."""
        if not any(one.process.poll() is None for one in self.works):
            self.start_worker()
        deadline = time.monotonic() + self.scenario.patience
        while self._live() and time.monotonic() < deadline:
            time.sleep(0.1)
        return []

    def _slots_left(self) -> list[str]:
        """See whether all slots still take jobs: a slot that is lost is not missed by anything else."""
        alive = sum(one.process.poll() is None for one in self.works)
        for _ in range(3):
            with self.cluster.connected() as conn:
                jobs = [handle.id for handle in enqueue_many(conn, tasks.hold, [(0.3,)] * (4 * SLOTS * alive))]
            self.own += jobs
            deadline = time.monotonic() + 30
            while self._live() and time.monotonic() < deadline:
                time.sleep(0.05)
            found = widest(read_lines(self.effects), set(jobs))
            if found >= SLOTS * alive:
                return []
        return [f"only {found} of {SLOTS * alive} slots took jobs afterwards"]

    def _audit(self) -> Counter[str]:
        with self.cluster.connected() as conn:
            return audit(conn, self.effects, self.load.promised, own=self.own)

    def _stop_workers(self) -> list[str]:
        wrong = []
        for one in self.works:
            if one.process.poll() is None:
                code = one.stop(30)
                if code:
                    wrong.append(f"a supervisor ended with exit code {code}: {one.output[-500:]}")
        return wrong

    def _leftovers(self) -> list[str]:
        """Look for what was left behind: processes, connections, locks, workers' rows, temporary files."""
        wrong = []
        processes = [pid for one in self.works for pid in one.remains()]
        if processes:
            wrong.append(f"processes left: {processes}")
        with self.cluster.connected() as conn:
            query = (
                "SELECT application_name FROM pg_stat_activity "
                "WHERE application_name LIKE 'pgjobs%' AND datname = current_database()"
            )
            try:
                wait_until(lambda: not conn.execute(query).fetchall(), 5)
            except AssertionError:
                wrong.append(f"connections left: {conn.execute(query).fetchall()}")
            for what, query in (
                ("locks", LOCKS),
                ("prepared transactions", "SELECT gid FROM pg_prepared_xacts"),
                ("workers' rows", "SELECT id, host, pid FROM pgjobs.workers"),
            ):
                found = conn.execute(query).fetchall()
                if found:
                    wrong.append(f"{what} left: {found}")
        files = sorted(path.name for path in self.temporary.iterdir())
        if files:
            wrong.append(f"temporary files left: {files[:5]}")
        return wrong

    def _keep_logs(self) -> None:
        if self.logs is not None:
            self.logs.mkdir(parents=True, exist_ok=True)
            for number, one in enumerate(self.works):
                name = f"{self.scenario.group}-{self.scenario.name[:40].replace(' ', '-')}-{self.seed}-{number}.log"
                (self.logs / name).write_text(one.output)
            (self.logs / f"{name}.effects").write_text(self.effects.read_text() if self.effects.exists() else "")

    def _recovery(self, over: float) -> float | None:
        """Return the longest time from the end of an outage to the next end of a run."""
        ends = sorted(line.at for line in read_lines(self.effects) if line.kind != "start")
        found = []
        for outage in self.outages:
            later = [at for at in ends if at > outage.ended]
            outage.recovered_in = later[0] - outage.ended if later else self.scenario.patience
            found.append(outage.recovered_in)
        return max(found, default=None)

    def _judge(self, counts: Counter[str], recovered: float | None) -> list[str]:
        wrong = [
            f"{name}: {counts[name]}" for name in (*NEVER, *SOMETIMES) if counts[name] and name not in self.scenario.may
        ]
        if recovered is not None and recovered > self.scenario.recovers_in:
            wrong.append(f"went on only after {recovered:.1f} s")
        for outage in self.outages:
            seconds = outage.ended - outage.began
            if seconds < 2.0:
                continue
            if outage.cpu / seconds > BUSY:
                wrong.append(f"used {outage.cpu / seconds:.2f} cores while there was no server")
            if outage.lines / seconds > FLOOD * len(self.works):
                wrong.append(f"{outage.lines / seconds:.0f} complaints a second while there was no server")
        if not self.strikes:
            wrong.append("nothing was done")
        return wrong

    def _cpu(self) -> float:
        """Return the seconds of CPU that the workers' processes have used."""
        total = 0
        for one in self.works:
            for pid in one.remains():
                try:
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                total += int(fields[11]) + int(fields[12])
        return total / 100

    def _complaints(self) -> int:
        return sum(
            '"level": "warning"' in line or '"level": "error"' in line
            for one in self.works
            for line in one.output.splitlines()
        )


def play(
    scenario: Scenario,
    template: Cluster,
    place: Path,
    seed: int,
    seconds: float | None = None,
    logs: Path | None = None,
) -> Result:
    """Play a scenario on a server of its own; `logs`: a folder in which to keep what the workers wrote."""
    place.mkdir()
    template.account.own(place)
    place.chmod(0o755)
    cluster = template.copy(place / "data")
    if scenario.settings:
        cluster.configure(**scenario.settings)
    with running(cluster):
        stage = Stage(scenario, cluster, place, seed, seconds or scenario.seconds)
        stage.logs = logs
        return stage.play()


def stop_and_continue(pid: int, seconds: float) -> None:
    """Stop a process for some seconds."""
    import os

    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


__all__ = ["Outage", "Result", "Stage", "marked", "play", "psycopg", "stop_and_continue"]
