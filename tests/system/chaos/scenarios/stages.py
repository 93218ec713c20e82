"""Everything is killed while items go through stages, and broadcasts are committed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.system.chaos import parcels
from tests.system.chaos.cluster import wait_for_children
from tests.system.chaos.scenario import scenario
from tests.system.chaos.scenarios.processes import KILLED, kill
from tests.system.chaos.scenarios.server import FORGOTTEN

if TYPE_CHECKING:
    from tests.system.chaos.stage import Stage


@scenario(
    "SIGKILL of everything, with stages and broadcasts",
    "stages",
    15,
    may={**KILLED, **FORGOTTEN},
    options=parcels.OPTIONS,
    before=parcels.before,
    check=parcels.check,
)
def everything(stage: Stage) -> None:
    for number in stage.until_over(0.5, 2.0):
        if number % 3 == 0:
            with stage.outage():
                stage.cluster.kill()
                wait_for_children(stage.cluster)
                time.sleep(stage.dice.uniform(0.0, 1.0))
                stage.cluster.start()
        elif number % 3 == 1:
            victim = stage.a_work()
            for pid in [victim.pid, *victim.members()]:
                kill(pid)
            victim.process.wait(10)
            stage.start_worker()
        else:
            member = stage.a_member()
            if member is not None:
                kill(member)
