"""An hour of schedules in two minutes: `python -m tests.schedules.hour` (`make schedule-hour`).

PostgreSQL's clock is moved by libfaketime on the server, 25 times as fast as it goes, while supervisors are killed.
Then it leaps, ahead and back. Every firing has to be enqueued exactly once.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from itertools import takewhile
from statistics import median
from typing import TYPE_CHECKING, Any

from pgjobs import admin
from pgjobs.embedded import find_binaries
from pgjobs.schedules.cron import parse
from tests.schedules import tasks
from tests.schedules.firings import firings, lateness, record_firings
from tests.schedules.test_workers import kill
from tests.support.worker import scalar, wait_done, wait_for, work
from tests.system.chaos.cluster import folder, make_template, running
from tests.system.chaos.scenarios.clocks import Clock, library

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg import Connection

    from tests.support.worker import Work
    from tests.system.chaos.cluster import Cluster

SUPERVISORS = 4
TICK = 0.05  # seconds between two steps of the clock
# Each with one of the ways of dealing with missed firings; where nothing is missed, they must not differ.
SCHEDULES = {1: ("* * * * *", "once"), 2: ("*/5 * * * *", "skip"), 3: ("*/10 * * * * *", "all")}
LEAPS = (600, -900, 3600, -30, 86400, -7200, 90, -1, 300)  # seconds


class Hour:
    """A clock that is moved, and four supervisors under it, some of which are killed now and then."""

    def __init__(self, cluster: Cluster, clock: Clock, seed: int) -> None:
        self.cluster = cluster
        self.clock = clock
        self.offset = self.furthest = 0.0  # seconds
        self.kills = 0
        self.dice = random.Random(seed)  # noqa: S311 (no secret)

    def turn(self, seconds: float) -> None:
        """Move the clock on, or back."""
        self.offset += seconds
        self.furthest = max(self.furthest, self.offset)
        self.clock.turn(f"{self.offset:+.3f}")

    def run_fast(self, seconds: float, speed: float, stop: threading.Event) -> None:
        """Wait until it has advanced by some of its seconds, at that speed."""
        began, start = time.monotonic(), self.offset
        while (gone := time.monotonic() - began) * speed < seconds and not stop.wait(TICK):
            self.turn(start + gone * (speed - 1) - self.offset)


def start(stack: ExitStack, url: str) -> Work:
    return stack.enter_context(work(url, "-q", "default:2", "--import", "tests.schedules.tasks", ready=False))


def keep_killing(hour: Hour, stack: ExitStack, works: list[Work], stop: threading.Event) -> None:
    """Kill one of the supervisors every few seconds, and start another one."""
    while not stop.wait(hour.dice.uniform(5, 9)):
        victim = works.pop(hour.dice.randrange(len(works)))
        kill(victim)
        hour.kills += 1
        works.append(start(stack, hour.cluster.url))


def judge(conn: Connection, first: dict[str, datetime], exact: tuple[str, ...]) -> dict[str, Any]:
    """Compare the jobs with the firings that there should have been until now."""
    found, wrong, report = firings(conn), [], {}
    now = scalar(conn, "SELECT clock_timestamp()")
    for number, (expression, missed) in SCHEDULES.items():
        name, times = f"sync({number})", found.get(f"sync({number})", [])
        cron = parse(expression)
        wanted = [first[name], *takewhile(lambda firing: firing <= now, cron.after(first[name]))]
        twice = len(times) - len(set(times))
        absent, extra = sorted(set(wanted) - set(times)), sorted(set(times) - set(wanted))
        report[f"{expression} ({missed})"] = {
            "firings": len(wanted),
            "jobs": len(times),
            "twice": twice,
            "absent": len(absent),
            "extra": len(extra),
        }
        if twice or extra or (absent and missed in exact):
            wrong.append(f"{expression}: {twice} twice, absent {absent[:3]}, extra {extra[:3]}")
    return {"schedules": report, "wrong": wrong}


def prepare(conn: Connection) -> dict[str, datetime]:
    """Add the schedules when all schedulers are awake, and give the first firing of each."""
    conn.execute("TRUNCATE pgjobs.jobs, pgjobs.schedules, pgjobs.schedule_owners, pgjobs.workers")
    admin.add_schedule(conn, "alarm", "0 0 1 1 *", tasks.tidy)
    awake = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgjobs scheduler'"
    wait_for(conn, f"({awake}) = {SUPERVISORS}", 60)
    admin.remove_schedule(conn, "alarm")
    record_firings(conn)
    first = {}
    for number, (expression, missed) in SCHEDULES.items():
        row = admin.add_schedule(conn, str(number), expression, tasks.sync, (number,), missed=missed)  # type: ignore[arg-type]
        assert row.next_at is not None
        first[f"sync({number})"] = row.next_at
    return first


def settle(conn: Connection) -> None:
    """Wait until all that is due was enqueued, and has run."""
    wait_for(conn, "NOT EXISTS (SELECT FROM pgjobs.schedules WHERE next_at <= clock_timestamp())", 30)
    wait_done(conn, 60)


def an_hour(hour: Hour, minutes: float, speed: float) -> dict[str, Any]:
    """Run the clock fast, while supervisors are killed."""
    stop = threading.Event()
    with ExitStack() as stack, hour.cluster.connected() as conn:
        works = [start(stack, hour.cluster.url) for _ in range(SUPERVISORS)]
        first = prepare(conn)
        killer = threading.Thread(target=keep_killing, args=(hour, stack, works, stop))
        killer.start()
        began = time.monotonic()
        try:
            hour.run_fast(minutes * 60, speed, stop)
        finally:
            stop.set()
            killer.join()
        took = time.monotonic() - began
        settle(conn)
        report = judge(conn, first, ("once", "skip", "all"))
        seconds = [late / speed for late in lateness(conn)]
        return {
            "hour": f"{minutes:g} min of the clock in {took:.0f} s, {SUPERVISORS} supervisors, {hour.kills} killed",
            **report,
            "late": f"median {median(seconds):.2f} s, at most {max(seconds):.2f} s of real time",
        }


def leaps(hour: Hour) -> dict[str, Any]:
    """Set the clock ahead and back: with "all" nothing is lost, and nothing comes twice."""
    with ExitStack() as stack, hour.cluster.connected() as conn:
        works = [start(stack, hour.cluster.url) for _ in range(SUPERVISORS)]
        first = prepare(conn)
        for leap in LEAPS:
            hour.turn(leap)
            time.sleep(2.5)
            if leap == 3600:
                kill(works[0])
        hour.turn(hour.furthest - hour.offset + 60)  # else what it has fired for already lies in the future
        settle(conn)
        return {"leaps": " ".join(f"{leap:+d}" for leap in LEAPS) + " s", **judge(conn, first, ("all",))}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="of PostgreSQL's clock (60)")
    parser.add_argument("--speed", type=float, default=25.0, help="how many times as fast as it goes (25)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if library() is None:
        print("not run: libfaketime is not installed (package libfaketime)")
        return 0
    with folder() as (place, account):
        cluster = make_template(find_binaries(), place, account)
        reports = [
            under_a_clock(
                cluster, place, "hour", lambda hour: an_hour(hour, options.minutes, options.speed), options.seed
            ),
            under_a_clock(cluster, place, "leaps", leaps, options.seed),
        ]
    json.dump(reports, sys.stdout, indent=2, default=str)
    print()
    return 1 if any(report["wrong"] for report in reports) else 0


def under_a_clock(cluster: Cluster, place: Path, name: str, play: Any, seed: int) -> dict[str, Any]:
    """Play on the server, with a clock that can be moved."""
    clock = Clock(place, name)
    cluster.env = clock.env
    with running(cluster):
        report: dict[str, Any] = play(Hour(cluster, clock, seed))
    cluster.process = None
    return report


if __name__ == "__main__":
    sys.exit(main())
