"""The network between workers and server: cut, half-open, slow, cut in the middle of an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pgjobs.db.connection import ANSWER_WITHIN
from tests.system.chaos.proxy import COMMIT_DONE
from tests.system.chaos.scenario import scenario

if TYPE_CHECKING:
    from tests.system.chaos.stage import Stage


@scenario("cut", "network", 12, through=("work",))
def cut(stage: Stage) -> None:
    for _ in stage.until_over(0.2, 1.5):
        with stage.outage():
            if stage.dice.random() < 0.5:
                stage.proxy.cut()
            else:
                stage.proxy.mode = "refuse"
                stage.proxy.cut()
                time.sleep(stage.dice.uniform(0.5, 3.0))
                stage.proxy.mode = "pass"


@scenario(
    "half-open: open connections swallow all, new ones work",
    "network",
    2 * ANSWER_WITHIN + 6,  # a worker that cannot acknowledge stops claiming, then notices the other connection
    through=("work",),
    recovers_in=ANSWER_WITHIN + 5,
)
def half_open(stage: Stage) -> None:
    stage.strikes += 1
    stage.note(f"{stage.proxy.swallow_open()} connections swallowed")
    with stage.outage():
        pass
    time.sleep(stage.seconds)


@scenario("half-open: all is swallowed for 35 s", "network", 35, through=("work",), recovers_in=ANSWER_WITHIN + 5)
def silence(stage: Stage) -> None:
    stage.strikes += 1
    with stage.outage():
        stage.proxy.mode = "swallow"
        time.sleep(stage.seconds)
        stage.proxy.swallow_open()
        stage.proxy.mode = "pass"


@scenario("delayed by 50 to 400 ms", "network", 12, through=("work",))
def delayed(stage: Stage) -> None:
    for _ in stage.until_over(0.5, 2.0):
        stage.proxy.delay = stage.dice.uniform(0.05, 0.4)
    stage.proxy.delay = 0.0


@scenario("cut in the middle of a COMMIT's answer", "network", 12, through=("work", "load"), slice=True)
def cut_commit(stage: Stage) -> None:
    for _ in stage.until_over(0.05, 0.2):
        stage.proxy.cut_in = COMMIT_DONE
    stage.note(f"{stage.proxy.cuts} answers cut, {stage.load.in_doubt} transactions of the load in doubt")


@scenario("cut in the middle of any answer", "network", 12, through=("work",))
def cut_answer(stage: Stage) -> None:
    for _ in stage.until_over(0.1, 0.5):
        stage.proxy.cut_in = stage.dice.choice([b"C\x00\x00\x00", b"T\x00\x00\x00", b"D\x00\x00\x00", b"Z\x00\x00\x00"])
    stage.proxy.cut_in = None
    stage.note(f"{stage.proxy.cuts} answers cut")
