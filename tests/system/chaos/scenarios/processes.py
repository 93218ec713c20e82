"""Processes that are killed, stopped and asked to end."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support.processes import children
from tests.system.chaos import parcels
from tests.system.chaos.scenario import scenario

if TYPE_CHECKING:
    from tests.system.chaos.stage import Stage

KILLED = {
    "cut_off": "killed while it ran",
    "repeated": "it had run, and its acknowledgement died with the worker",
}


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@scenario(
    "SIGKILL of a worker process",
    "processes",
    12,
    may=KILLED,
    slice=True,
    options=parcels.OPTIONS,
    before=parcels.before,
    check=parcels.check,
)
def worker(stage: Stage) -> None:
    for _ in stage.until_over(0.3, 1.5):
        pid = stage.a_member()
        if pid is not None:
            kill(pid)


@scenario("SIGKILL of the supervisor", "processes", 12, may=KILLED)
def supervisor(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 3.0):
        victim = stage.a_work()
        stage.start_worker()
        kill(victim.pid)
        victim.process.wait(10)


@scenario("SIGKILL of supervisor and workers at once", "processes", 12, may=KILLED)
def everything(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 3.0):
        victim = stage.a_work()
        for pid in [victim.pid, *victim.members()]:
            kill(pid)
        victim.process.wait(10)
        stage.start_worker()


@scenario("SIGKILL of the process of a job", "processes", 12, may=KILLED)
def job_process(stage: Stage) -> None:
    for _ in stage.until_over(0.05, 0.4):
        pid = stage.a_member()
        found = children(pid) if pid is not None else []
        if found:
            kill(stage.dice.choice(found))


@scenario(
    "SIGTERM at any moment",
    "processes",
    12,
    may={"cut_off": "a second SIGTERM ends it at once"} | KILLED,
)
def asked_to_end(stage: Stage) -> None:
    for number in stage.until_over(0.0, 1.5):
        victim = stage.a_work()
        stage.start_worker()
        victim.signal(signal.SIGTERM)
        if number % 3 == 0:
            time.sleep(stage.dice.uniform(0, 0.3))
            if victim.process.poll() is None:
                victim.signal(signal.SIGTERM)
        victim.wait(30)
        if number % 4 == 1:  # one that has hardly begun
            fresh = stage.start_worker()
            time.sleep(stage.dice.uniform(0, 0.6))
            fresh.signal(signal.SIGTERM)
            fresh.wait(30)


@scenario(
    "SIGSTOP for a minute, then SIGCONT",
    "processes",
    60,
    workers=2,
    may=KILLED
    | {"overlaps": "a stopped worker is considered dead; its run continues, and its acknowledgement is dropped"},
)
def stopped(stage: Stage) -> None:
    victim = stage.works[0]
    pids = [victim.pid, *victim.members()]
    stage.strikes += 1
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(stage.seconds)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    time.sleep(3.0)


@scenario(
    "SIGSTOP of one worker process for seconds",
    "processes",
    12,
    may=KILLED | {"overlaps": "as above"},
)
def stopped_for_seconds(stage: Stage) -> None:
    for _ in stage.until_over(0.5, 1.0):
        pid = stage.a_member()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(stage.dice.uniform(0.5, 4.0))
                os.kill(pid, signal.SIGCONT)
