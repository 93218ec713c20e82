"""What is done to processes and to the server. One host at least is left alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.system.chaos.cluster import wait_for_children
from tests.system.chaos.scenarios.processes import kill
from tests.system.soak.faults import TERMINATE

if TYPE_CHECKING:
    from tests.support.worker import Work
    from tests.system.chaos.stage import Stage
    from tests.system.stress.plan import Step

HOSTS = 2


class Faults:
    """Strikes, and puts back what it has struck."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stopped: dict[int, list[int]] = {}  # processes that stand still, by the pid of their supervisor
        self._draining: set[int] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def strike(self, step: Step) -> None:
        """Do it, and return when it is over; a stop ends later, see `wait`."""
        match step.kind:
            case "kill worker":
                if members := self._a_host().members():
                    kill(self._stage.dice.choice(sorted(members)))
            case "kill supervisor":
                host = self._a_host()
                kill(host.pid)
                host.process.wait(10)
            case "kill host":
                host = self._a_host()
                for pid in [host.pid, *host.members()]:
                    kill(pid)
                host.process.wait(10)
            case "drain host":
                host = self._a_host()
                host.signal(signal.SIGTERM)
                self._draining.add(host.pid)
            case "stop worker":
                host = self._a_host()
                if members := host.members():
                    self._stop(host, [self._stage.dice.choice(sorted(members))], step.values["seconds"])
            case "stop host":
                host = self._a_host()
                self._stop(host, [host.pid, *host.members()], step.values["seconds"])
            case "cut connections":
                with self._stage.cluster.connected() as conn:
                    conn.execute(TERMINATE)
            case _:
                self._server(step.kind, step.values["seconds"])
        self.refill()

    def wait(self) -> None:
        """Wait until nothing stands still."""
        for thread in self._threads:
            thread.join(30)
        self._threads.clear()

    def refill(self) -> None:
        """Start hosts until there are enough that run."""
        while sum(self._runs(one) for one in self._stage.works) < HOSTS:
            self._stage.start_worker()

    def _runs(self, host: Work) -> bool:
        return host.process.poll() is None and host.pid not in self._stopped and host.pid not in self._draining

    def _a_host(self) -> Work:
        return self._stage.dice.choice([one for one in self._stage.works if self._runs(one)])

    def _stop(self, host: Work, pids: list[int], seconds: float) -> None:
        """Stop processes for some seconds, beside what strikes next."""
        if host.pid in pids:
            self._stopped[host.pid] = pids
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

        def go_on() -> None:
            time.sleep(seconds)
            for pid in reversed(pids):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self._stopped.pop(host.pid, None)

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _server(self, kind: str, seconds: float) -> None:
        cluster = self._stage.cluster
        if kind == "server killed":
            cluster.kill()
            wait_for_children(cluster)
        else:
            cluster.stop(kind.removeprefix("server "))
            if kind == "server immediate":
                wait_for_children(cluster)
        time.sleep(seconds)
        cluster.start()
