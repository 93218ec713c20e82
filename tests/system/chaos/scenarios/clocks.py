"""Clocks that are wrong, or leap: those of workers and of who enqueues, and PostgreSQL's own.

libfaketime turns the clock of the day (CLOCK_REALTIME); the monotonic one stays, as it does on a real machine.
PostgreSQL's clock decides, so a worker's must not matter: nothing begins early, no worker is considered dead, and
delays, retries and snoozes last as long as they should.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.processes import environment
from tests.system.chaos.auditor import Line, read_lines
from tests.system.chaos.scenario import scenario

if TYPE_CHECKING:
    from tests.system.chaos.stage import Stage

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)
WANTS = {"libfaketime": lambda: library() is not None}
DELAY = 2.0  # seconds
SHORTEST = {"fail": 0.05, "snooze": 0.1}  # seconds, of the load's backoffs and snoozes
LATE = 5.0  # seconds: what is due begins sooner than that, though the machine is busy
# Python sleeps until a monotonic time (clock_nanosleep), and libfaketime turns that time as well: EINVAL.
STARTUP = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""
ENQUEUE = """
import sys, psycopg
from pgjobs import enqueue_many
from tests.system.chaos import tasks
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    for handle in enqueue_many(conn, tasks.brief.options(delay=float(sys.argv[2])), [(0.01,)] * 20):
        print(handle.id)
"""


def library() -> str | None:
    """Find libfaketime, in its form for threads."""
    return next((path for path in LIBRARIES if Path(path).exists()), None)


class Clock:
    """A clock that processes are given, and that can be turned while they run."""

    def __init__(self, place: Path, name: str, offset: str = "+0") -> None:
        self._file = place / f"clock-{name}"
        self._startup = place / "startup"
        self._startup.mkdir(exist_ok=True)
        (self._startup / "sitecustomize.py").write_text(STARTUP)
        self.turn(offset)

    def turn(self, offset: str) -> None:
        """Make it wrong by an offset: `+1d`, `-1h`."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(offset + "\n")
        draft.chmod(0o644)
        draft.replace(self._file)

    @property
    def env(self) -> dict[str, str]:
        """What gives it to a process, and to all that this one starts."""
        return {
            "LD_PRELOAD": library() or "",
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": os.pathsep.join([str(self._startup), environment()["PYTHONPATH"]]),
        }


def enqueue_with(clock: Clock, stage: Stage) -> None:
    """Enqueue jobs for later, in a process that has this clock."""
    done = subprocess.run(
        [sys.executable, "-c", ENQUEUE, stage.cluster.url, str(DELAY)],
        env={**environment(), **clock.env},
        capture_output=True,
        text=True,
        check=True,
    )
    ids = [int(word) for word in done.stdout.split()]
    stage.prop["later"] += ids
    stage.own += ids


def look_at_times(stage: Stage) -> list[str]:
    """See whether anything began early or late, by PostgreSQL's clock and by the monotonic one."""
    wrong = []
    with stage.cluster.connected() as conn:

        def one(query: str, values: object = None) -> tuple[Any, ...]:
            row = conn.execute(query, values).fetchone()  # type: ignore[call-overload]  # not a literal
            assert row is not None
            return tuple(row)

        (early,) = one("SELECT count(*) FROM pgjobs.jobs WHERE started_at < run_at")
        if early:
            wrong.append(f"{early} jobs began before they were due")
        later, latest, odd = one(
            "SELECT count(*), max(extract(epoch FROM started_at - run_at))::float8, "
            "  count(*) FILTER (WHERE abs(extract(epoch FROM run_at - enqueued_at) - %s) > 0.1) "
            "FROM pgjobs.jobs WHERE id = ANY (%s) AND status = 'completed'",
            [DELAY, stage.prop["later"]],
        )
    if odd:
        wrong.append(f"{odd} jobs for later got another time than {DELAY:g} s from PostgreSQL's now")
    if later != len(stage.prop["later"]) or not later or latest > LATE:
        wrong.append(f"{later} of {len(stage.prop['later'])} jobs for later ran, up to {latest} s late")
    return wrong + look_at_waits(stage)


def look_at_waits(stage: Stage) -> list[str]:
    """See how long retries and snoozes waited, by the monotonic clock of this machine."""
    waits: dict[str, list[float]] = {"fail": [], "snooze": []}
    before: dict[int, Line] = {}
    for line in sorted(read_lines(stage.effects), key=lambda line: line.at):
        last = before.get(line.job)
        if line.kind == "start" and last is not None and last.kind in waits:
            waits[last.kind].append(line.at - last.at)
        before[line.job] = line
    wrong = []
    for kind, found in waits.items():
        stage.note(f"{len(found)} waits after a {kind}, {min(found):.2f} to {max(found):.2f} s")
        if min(found) < SHORTEST[kind] or max(found) > LATE:
            wrong.append(f"waits after a {kind}: {min(found):.3f} to {max(found):.3f} s")
    return wrong


def look_at_logs(stage: Stage) -> list[str]:
    """See that clocks were turned at all, and that no worker was considered dead."""
    lines = [line for work in stage.works for line in work.lines()]
    wrong = [line["event"] for line in lines if "not heard from" in line["event"] or "for dead" in line["event"]]
    now = datetime.now(UTC)
    shown = {round((datetime.fromisoformat(line["timestamp"]) - now) / timedelta(hours=1)) for line in lines}
    stage.note(f"the logs' clocks were wrong by {', '.join(f'{hours:+d}' for hours in sorted(shown))} h")
    if not shown - {0}:
        wrong.append("no clock was turned")
    return wrong


def after(stage: Stage) -> list[str]:
    return look_at_times(stage) + look_at_logs(stage)


def a_day_apart(stage: Stage) -> None:
    """Start a supervisor whose clock is a day ahead, and one whose clock is a day behind."""
    clocks = [Clock(stage.place, "ahead", "+1d"), Clock(stage.place, "behind", "-1d")]
    stage.prop = {"clocks": clocks, "later": []}
    for clock in clocks:
        stage.start_worker(env=clock.env)


@scenario(
    "two supervisors, a day ahead and a day behind",
    "clocks",
    15,
    wants=WANTS,
    workers=0,
    before=a_day_apart,
    after=after,
)
def wrong_clocks(stage: Stage) -> None:
    for number in stage.until_over(0.5, 1.5):
        enqueue_with(stage.prop["clocks"][number % 2], stage)


def a_clock_to_turn(stage: Stage) -> None:
    stage.prop = {"clocks": [Clock(stage.place, "turned")], "later": []}
    stage.start_worker(env=stage.prop["clocks"][0].env)


@scenario("the clock of workers leaps", "clocks", 15, wants=WANTS, workers=0, before=a_clock_to_turn, after=after)
def leaping_clock(stage: Stage) -> None:
    (clock,) = stage.prop["clocks"]
    for number in stage.until_over(0.3, 1.0):
        enqueue_with(clock, stage)
        clock.turn(stage.dice.choice(["+0", "+30s", "-30s"] if number % 2 else ["+1h", "-1h", "+1d", "-1d"]))


def a_server_clock_to_turn(stage: Stage) -> None:
    """Start the server again, with a clock that can be turned."""
    clock = Clock(stage.place, "server")
    stage.prop = {"clocks": [clock], "later": []}
    stage.cluster.stop()
    stage.cluster.env = clock.env
    stage.cluster.start()


def after_server_leaps(stage: Stage) -> list[str]:
    with stage.cluster.connected() as conn:
        row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    hours = (row[0] - datetime.now(UTC)) / timedelta(hours=1)
    stage.note(f"PostgreSQL's clock was {hours:+.1f} h wrong in the end")
    lines = [line["event"] for work in stage.works for line in work.lines()]
    dead = [line for line in lines if "not heard from" in line or "for dead" in line]
    return [*dead, *([] if hours > 0.9 else ["the server's clock was not turned"])]


@scenario(
    "PostgreSQL's clock leaps ahead",
    "clocks",
    15,
    wants=WANTS,
    before=a_server_clock_to_turn,
    after=after_server_leaps,
)
def leaping_server(stage: Stage) -> None:
    """Ahead only: set back, it makes wait what is enqueued already, because it is PostgreSQL's clock that decides."""
    (clock,) = stage.prop["clocks"]
    for number in stage.until_over(1.0, 2.5):
        clock.turn(f"+{number}h")
