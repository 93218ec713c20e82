"""A limit of 1 under eight worker processes, with retries, kills and cancels: never two at once, and no stall.

    python -m benchmarks.limit_check [URL] [--seconds 120] [--seed N]

Each job takes a lock of the operating system's and gives it back; one that finds it taken is a violation. Meanwhile
worker processes are killed, supervisors too, jobs fail, snooze, hang, kill their process, and are cancelled. There are
always jobs that are due. Two times are told: the longest one without a start (in which workers were dead, or starting,
or a job was killed before it had begun), and the longest one in which the slot was free and a worker there to take it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
from benchmarks import limit_tasks
from benchmarks.common import database, say, worker
from benchmarks.kill_loop import children

from pgjobs import enqueue_many
from pgjobs.admin import cancel_jobs, set_limit
from pgjobs.flow.limits import LimitSettings

RESCUE_AFTER = 2.0  # seconds
SUPERVISORS, PROCESSES, SLOTS = 4, 2, 4
OPTIONS = ("-q", f"default:{SLOTS}", "--processes", PROCESSES, "--grace", 5, "--heartbeat", 0.5)
BACKLOG = 60  # jobs that are there at least
FATES = ("ends",) * 12 + ("fails", "fails", "snoozes", "dies", "hangs")
KILL_EVERY = (0.5, 5.0)  # seconds, from and to
CANCEL_EVERY = 0.2
START_SECONDS = 30.0
ENOUGH = 10  # jobs that have to start, for a run to say anything
PATIENCE = 60.0  # seconds after the end for that many to start, on a machine that does other things
IDLE = 5.0  # seconds in which the slot was free, jobs were due and workers were there: more is a stall
LOOK = """
    SELECT count(*) FILTER (WHERE status = 'running'), count(*) FILTER (WHERE status = 'waiting' AND run_at <= now()),
           coalesce((array_agg(id) FILTER (WHERE status = 'waiting' AND random() < 0.1))[:1], '{}'),
           (SELECT count(*) FROM pgjobs.workers AS w
            WHERE w.heartbeat_at > now() - interval '1 s' AND w.started_at < now() - interval '1 s')
    FROM pgjobs.jobs WHERE status IN ('waiting', 'running')
"""


@dataclass
class Found:
    """What came of it. `gaps`: seconds between two starts; `idle`: the longest time in which the slot lay idle."""

    counted: Counter[str]
    gaps: list[float]
    idle: float
    states: dict[str, int]

    def check(self) -> None:
        """Hold what has to hold.

        Raises:
            AssertionError: two ran at once, a row says so, or nothing ran for too long.

        """
        assert self.counted["two_at_once"] == 0, "two ran at once"
        assert self.counted["rows_running_at_once"] <= 1, "two rows ran at once"
        assert self.counted["started"] > ENOUGH, "hardly anything has started"
        assert self.idle < IDLE, f"the slot lay idle for {self.idle:.1f} s"


class Play:
    """One run: the workers, and what is done to them."""

    def __init__(self, url: str, conn: psycopg.Connection, stack: ExitStack, seed: int, supervisors: int) -> None:
        self._url = url
        self._conn = conn
        self._stack = stack
        self._dice = random.Random(seed)  # noqa: S311 (no secret)
        self.counted: Counter[str] = Counter()
        self.longest_idle = 0.0
        self._idle_since: float | None = None
        self._victims: list[int] = []
        self._supervisors = [self._start() for _ in range(supervisors)]

    def _start(self) -> subprocess.Popen[bytes]:
        options = (*OPTIONS, "--rescue-after", RESCUE_AFTER, "--import", "benchmarks.limit_tasks")
        return self._stack.enter_context(worker(self._url, *options, quiet=True))

    def fill(self) -> None:
        """See to it that enough is due, and note how many rows run."""
        now = time.monotonic()
        running, waiting, self._victims, workers = self._conn.execute(LOOK).fetchone() or (0, 0, [], 0)
        idle = not running and waiting and workers
        self._idle_since = (self._idle_since or now) if idle else None
        self.longest_idle = max(self.longest_idle, now - (self._idle_since or now))
        self.counted["rows_running_at_once"] = max(self.counted["rows_running_at_once"], running)
        while waiting < BACKLOG:
            kind: Any = self._dice.choice((limit_tasks.hold, limit_tasks.hold_in_child, limit_tasks.hold_async))
            calls = [(self._dice.uniform(0, 0.02), self._dice.choice(FATES)) for _ in range(BACKLOG)]
            self.counted["enqueued"] += len(enqueue_many(self._conn, kind, calls))
            waiting += len(calls)

    def cancel(self) -> None:
        """Cancel a job that waits."""
        self.counted["cancelled"] += len(cancel_jobs(self._conn, self._victims).done)

    def kill(self) -> None:
        """Kill a worker process, every other time the one with the slot; or a supervisor, alone or with its workers."""
        chosen = self._dice.choice([each for each in self._supervisors if each.poll() is None])
        members = children(chosen.pid)
        kind = self._dice.choice(("worker",) * 6 + ("supervisor", "all"))
        victims: dict[str, list[int | None]] = {
            "worker": [self._running_pid() if self._dice.random() < 0.5 else self._dice.choice(members or [0])],
            "supervisor": [chosen.pid],
            "all": [*members, chosen.pid],
        }
        for pid in filter(None, victims[kind]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.counted[f"killed_{kind}"] += 1
        if kind != "worker":
            chosen.wait()
            self._supervisors[self._supervisors.index(chosen)] = self._start()

    def pause(self) -> float:
        """Return the seconds until the next kill."""
        return self._dice.uniform(*KILL_EVERY)

    def _running_pid(self) -> int | None:
        row = self._conn.execute(
            "SELECT w.pid FROM pgjobs.jobs_live AS j JOIN pgjobs.workers AS w ON w.id = j.worker_id "
            "WHERE j.status = 'running' LIMIT 1"
        ).fetchone()
        return None if row is None else int(row[0])


def play(url: str, directory: Path, seconds: float, seed: int, *, supervisors: int = SUPERVISORS) -> Found:
    """Continue the load for some seconds."""
    os.environ[limit_tasks.DIRECTORY] = str(directory)
    with psycopg.connect(url, autocommit=True) as conn, ExitStack() as stack:
        set_limit(conn, limit_tasks.KEY, LimitSettings(1))
        game = Play(url, conn, stack, seed, supervisors)
        game.fill()
        log = directory / "log"
        deadline = time.monotonic() + START_SECONDS
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert log.exists(), "no job has started"
        began = now = time.monotonic()
        next_kill, next_cancel = began + game.pause(), began
        while (now := time.monotonic()) < began + seconds or (
            now < began + seconds + PATIENCE and log.read_text().count("start") <= ENOUGH
        ):
            game.fill()
            if now >= next_cancel:
                next_cancel = now + CANCEL_EVERY
                game.cancel()
            if now >= next_kill:
                next_kill = now + game.pause()
                game.kill()
            time.sleep(0.02)
        ended = time.time_ns()
        rows = conn.execute("SELECT status, count(*) FROM pgjobs.jobs GROUP BY 1").fetchall()
        lines = [line.split() for line in log.read_text().splitlines()]
        for process in game._supervisors:
            process.kill()
    starts = sorted(int(line[0]) for line in lines if line[3] == "start" and int(line[0]) <= ended)
    game.counted["two_at_once"] = sum(line[3] == "TWO" for line in lines)
    game.counted["started"] = len(starts)
    gaps = [(after - before) / 1e9 for before, after in pairwise([*starts, ended])]
    return Found(game.counted, gaps, game.longest_idle, dict(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))  # noqa: S311 (no secret)
    options = parser.parse_args()
    with database(options.url) as url, tempfile.TemporaryDirectory(prefix="pgjobs-limit-") as directory:
        found = play(url, Path(directory), options.seconds, options.seed)
    gaps = sorted(found.gaps)
    shares = {f"gap_p{share}": round(gaps[int(len(gaps) * share / 100)], 3) for share in (50, 99)}
    say(
        seconds=options.seconds,
        seed=options.seed,
        **dict(sorted(found.counted.items())),
        **shares,
        longest_idle=round(found.idle, 2),
        longest_gaps=[round(gap, 2) for gap in gaps[-5:]],
        states=found.states,
    )
    found.check()


if __name__ == "__main__":
    main()
