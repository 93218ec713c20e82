"""A streaming standby that is promoted when the primary dies, for workers and load that name both in their URL."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgjobs import enqueue_many
from tests.support.processes import wait_until
from tests.system.chaos import tasks
from tests.system.chaos.auditor import read_lines
from tests.system.chaos.cluster import DATABASE, Cluster, running, wait_for_children
from tests.system.chaos.scenario import scenario
from tests.system.chaos.scenarios.server import FORGOTTEN
from tests.system.chaos.stage import SLOTS

if TYPE_CHECKING:
    from datetime import datetime

    from tests.system.chaos.stage import Stage

LONG = 4.0  # seconds
UNSENT = {
    "broken_promises": "committed on the old primary, and not yet sent to the standby",
    "same_claim": "the claim was not sent either; and the ids of what was lost are handed out again",
    "repeated": "neither was the acknowledgement; or as above",
    "overlaps": "as above",
}


@dataclass
class Pair:
    """The standby beside `stage.cluster`, and when standbys were promoted: by PostgreSQL's clock, and monotonic."""

    standby: Cluster
    synchronous: bool
    promoted: list[tuple[datetime, float]] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)


def url_of(*ports: int, database: str = DATABASE) -> str:
    """Name the servers, of which the one that can be written to is meant."""
    servers = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://postgres@{servers}/{database}?target_session_attrs=read-write"


def add_standby(stage: Stage, name: str, port: int | None, *, synchronous: bool) -> Cluster:
    """Make and start a standby of the primary; `port`: where it answers (None: a free one)."""
    primary = stage.cluster
    standby = primary.standby(stage.place / name)
    standby.port = port or standby.port
    stage.enter(running(standby))
    if synchronous:  # after the copy was made: a standby that is promoted has none of its own
        primary.configure(synchronous_standby_names="standby")
        primary.reload()
    query = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = %s"
    with primary.connected() as conn:
        wait_until(lambda: conn.execute(query, ["sync" if synchronous else "async"]).fetchone(), 30)
    return standby


def before(stage: Stage, *, synchronous: bool) -> None:
    standby = add_standby(stage, "standby", None, synchronous=synchronous)
    stage.prop = Pair(standby, synchronous)
    stage.worker_url = stage.load.url = url_of(stage.cluster.port, standby.port)


def fail_over(stage: Stage, *, lag: float) -> None:
    """Kill the primary, `lag` seconds after it has stopped sending, promote the standby, and give that one another."""
    pair: Pair = stage.prop
    old, new = stage.cluster, pair.standby
    pair.lags.append(lag)
    if lag:
        with old.connected() as conn:
            rows = conn.execute("SELECT pid FROM pg_stat_replication").fetchall()
        for (pid,) in rows:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        with old.connected() as conn:  # they will be lost, and run on meanwhile
            enqueue_many(conn, tasks.hold, [(LONG,)] * (SLOTS // 3))
        time.sleep(lag)
    with stage.outage():
        old.kill_all()
        wait_for_children(old)
        shutil.rmtree(old.data)  # it does not come back
        time.sleep(stage.dice.uniform(0.1, 2.0))
        new.promote()
        stage.cluster = new
        with new.connected() as conn:
            row = conn.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            pair.promoted.append((row[0], time.monotonic()))
    pair.standby = add_standby(stage, f"standby{stage.strikes}", old.port, synchronous=pair.synchronous)


def after(stage: Stage) -> list[str]:
    """Look for jobs that completed by the run of another: a job that was lost, and whose id they were given."""
    begun: dict[int, float] = {}  # the last run of each
    for line in read_lines(stage.effects):
        if line.kind == "start":
            begun[line.job] = max(line.at, begun.get(line.job, 0.0))
    stolen: set[int] = set()
    with stage.cluster.connected() as conn:
        for moment, at in stage.prop.promoted:
            rows = conn.execute(
                "SELECT id FROM pgjobs.jobs WHERE status = 'completed' AND enqueued_at > %s", [moment]
            ).fetchall()
            stolen |= {job for (job,) in rows if begun.get(job, 0.0) < at}
    stage.note(f"{stage.load.twice} ids were handed out again after a failover that lost them")
    return [f"{len(stolen)} jobs completed without a run of their own: {sorted(stolen)[:10]}"] if stolen else []


@scenario(
    "failover, synchronous replication",
    "failover",
    20,
    may=FORGOTTEN,
    before=lambda stage: before(stage, synchronous=True),
    after=after,
)
def synchronous(stage: Stage) -> None:
    for _ in stage.until_over(2.0, 4.0):
        fail_over(stage, lag=0.0)


@scenario(
    "failover, asynchronous replication",
    "failover",
    20,
    may=UNSENT,
    before=lambda stage: before(stage, synchronous=False),
    after=after,
)
def asynchronous(stage: Stage) -> None:
    for number in stage.until_over(2.0, 4.0):
        fail_over(stage, lag=stage.dice.uniform(0.05, 1.0) if number % 2 else 0.0)
    stage.note("the primary had not sent for " + ", ".join(f"{lag:.2f}" for lag in stage.prop.lags) + " s")
