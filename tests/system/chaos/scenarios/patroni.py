"""Two nodes of Patroni over a single etcd: the leader is killed with all it runs, and Patroni promotes the other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import psycopg

from pgjobs.embedded.processes import free_port
from tests.support.processes import children, wait_until
from tests.system.chaos.cluster import Cluster, wait_for_children
from tests.system.chaos.scenario import scenario
from tests.system.chaos.scenarios.failover import UNSENT, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.chaos.stage import Stage

PATIENCE = 60.0  # seconds until Patroni has done something
HBA = ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
# Seconds: the leader is missed after `ttl`. Bytes: a standby that lags more is not promoted, and then none is.
DYNAMIC = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2, "maximum_lag_on_failover": 100_000_000}


def surroundings() -> dict[str, str]:
    """Return the environment of programs that are no business of this checkout's Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


@dataclass
class Node:
    """A Patroni and the server that it runs."""

    name: str
    cluster: Cluster
    place: Path
    etcd: int
    rest: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def configuration(self) -> dict[str, Any]:
        """Return Patroni's settings (JSON is YAML)."""
        account = {"username": "postgres"}
        return {
            "scope": "chaos",
            "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self.rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "etcd3": {"host": f"127.0.0.1:{self.etcd}"},
            "bootstrap": {"dcs": DYNAMIC},
            "postgresql": {
                "listen": f"127.0.0.1:{self.cluster.port}",
                "connect_address": f"127.0.0.1:{self.cluster.port}",
                "data_dir": str(self.cluster.data),
                "bin_dir": str(self.cluster.binaries),
                "pgpass": str(self.place / f"{self.name}.pgpass"),
                "authentication": {"superuser": account, "replication": account},
                "pg_hba": HBA,
                "parameters": {"unix_socket_directories": ""},
            },
        }

    def start(self) -> None:
        """Start Patroni: it adopts the data directory, or makes one from the leader's."""
        settings = self.place / f"{self.name}.yml"
        settings.write_text(json.dumps(self.configuration()))
        self.cluster.account.own(settings)
        with (self.place / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["patroni", str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.place,
                env=surroundings(),
                **self.cluster.account.popen_options(),
            )

    def log(self) -> str:
        return (self.place / f"{self.name}.log").read_text(errors="replace")

    def says(self, what: str) -> bool:
        """Ask whether it is the leader or a replica that can be promoted."""
        assert self.process is not None
        assert self.process.poll() is None, self.log()[-3000:]
        try:
            with urlopen(f"http://127.0.0.1:{self.rest}/{what}", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):  # an error is its way to say no
            return False

    def kill(self) -> None:
        """Kill Patroni, the postmaster and its children, as a machine that dies does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
        with suppress(OSError, ValueError):
            postmaster = int((self.cluster.data / "postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGSTOP)
            for pid in [*children(postmaster), postmaster]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        wait_for_children(self.cluster)


@dataclass
class Ensemble:
    """The etcd and the nodes. `seconds`: that each failover took."""

    nodes: list[Node]
    seconds: list[float] = field(default_factory=list)

    def leader(self) -> Node | None:
        """Find the node that says it leads, and can be written to."""
        for node in self.nodes:
            if node.process is not None and node.says("leader"):
                try:
                    with node.cluster.connected() as conn:
                        row = conn.execute("SELECT pg_is_in_recovery()").fetchone()
                except psycopg.OperationalError:
                    continue
                if row is not None and not row[0]:
                    return node
        return None


@contextmanager
def etcd(stage: Stage) -> Iterator[int]:
    """Run an etcd, and give the port for its clients."""
    client, peer = (f"http://127.0.0.1:{port}" for port in (free_port(), free_port()))
    data = stage.place / "etcd"
    with (stage.place / "etcd.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *("etcd", "--data-dir", str(data), "--initial-cluster", f"default={peer}"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=stage.place,
            env=surroundings(),
            **stage.cluster.account.popen_options(),
        )
    try:
        yield int(client.rpartition(":")[2])
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def ensemble(stage: Stage) -> Iterator[Ensemble]:
    """Put the server under Patroni, with a second node, and see to it that nothing of it is left."""
    with etcd(stage) as port:
        first = stage.cluster
        second = Cluster(first.binaries, stage.place / "second", first.account)
        nodes = [Node("first", first, stage.place, port), Node("second", second, stage.place, port)]
        first.stop("fast")
        first.process = None
        try:
            nodes[0].start()
            found = Ensemble(nodes)
            wait_until(lambda: found.leader() is nodes[0], PATIENCE)
            nodes[1].start()
            wait_until(lambda: nodes[1].says("replica?lag=1MB"), PATIENCE)
            yield found
        finally:
            for node in nodes:
                node.kill()


def before(stage: Stage) -> None:
    stage.prop = stage.enter(ensemble(stage))
    stage.worker_url = stage.load.url = url_of(*(node.cluster.port for node in stage.prop.nodes))


@scenario(
    "failover by Patroni",
    "failover",
    20,
    needs=("patroni", "etcd"),
    before=before,
    # Its replication is asynchronous, if one does not say otherwise.
    may=UNSENT,
)
def patroni(stage: Stage) -> None:
    found: Ensemble = stage.prop
    for _ in stage.until_over(2.0, 4.0):
        old = found.leader()
        assert old is not None
        with stage.outage() as outage:
            old.kill()
            wait_until(lambda old=old: found.leader() not in (None, old), PATIENCE)  # type: ignore[misc]
            new = found.leader()
            assert new is not None
            stage.cluster = new.cluster
        found.seconds.append(outage.ended - outage.began)
        shutil.rmtree(old.cluster.data)  # it comes back as a replica, from a copy
        time.sleep(stage.dice.uniform(0.0, 1.0))
        old.start()
        wait_until(lambda old=old: old.says("replica?lag=1MB"), PATIENCE)  # type: ignore[misc]
    stage.note("Patroni took " + ", ".join(f"{seconds:.1f}" for seconds in found.seconds) + " s")
