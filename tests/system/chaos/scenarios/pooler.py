"""PgBouncer between all processes and PostgreSQL, in transaction mode: restarted, killed, paused, told to reconnect."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from pgjobs.embedded.processes import free_port
from tests.support.processes import wait_until
from tests.system.chaos.cluster import DATABASE
from tests.system.chaos.scenario import scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.chaos.cluster import Cluster
    from tests.system.chaos.stage import Stage

POOL = 4  # connections to the server, for all workers and the load
CONFIG = """
[databases]
{database} = host=127.0.0.1 port={server} dbname={database}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
admin_users = postgres
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 200
server_login_retry = 1
"""


class Pooler:
    """A PgBouncer before a server."""

    def __init__(self, cluster: Cluster, place: Path) -> None:
        self._cluster = cluster
        self._place = place / "pgbouncer"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._place.mkdir()
        users = self._place / "users"
        users.write_text('"postgres" ""\n')
        config = CONFIG.format(database=DATABASE, server=cluster.port, port=self.port, users=users, pool=POOL)
        (self._place / "pgbouncer.ini").write_text(config)
        for path in (self._place, *self._place.iterdir()):
            cluster.account.own(path)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        """Start it, as the server's user: it refuses to be root."""
        with (self._place / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["pgbouncer", str(self._place / "pgbouncer.ini")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._cluster.account.popen_options(),
            )
        wait_until(self._answers, 20)

    def stop(self, number: int) -> None:
        """End it with a signal; it is killed where it waits for clients that do not go."""
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
            self._process = None

    def command(self, text: str) -> None:
        """Run a command of its console."""
        with psycopg.connect(self.url.replace(f"/{DATABASE}", "/pgbouncer"), autocommit=True) as conn:
            # The simple protocol is all that the console knows.
            answer = conn.pgconn.exec_(text.encode())
            assert answer.status == psycopg.pq.ExecStatus.COMMAND_OK, (text, answer.error_message)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._place / "log").read_text()[-2000:]
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running(pooler: Pooler) -> Iterator[Pooler]:
    """Run a PgBouncer, and see to it that nothing of it is left."""
    try:
        pooler.start()
        yield pooler
    finally:
        pooler.stop(signal.SIGKILL)


def before(stage: Stage) -> None:
    """Put a PgBouncer between."""
    stage.prop = stage.enter(running(Pooler(stage.cluster, stage.place)))
    stage.worker_url = stage.load.url = stage.prop.url
    # As PgBouncer's and psycopg's manuals have it, for applications: it forgets whose a prepared statement is.
    stage.load.prepare_threshold = None


def after(stage: Stage) -> list[str]:
    """Look into the logs, and end it: its connections are named after who had them last."""
    stage.prop.stop(signal.SIGTERM)
    lines = [line for work in stage.works for line in work.output.splitlines()]
    prepared = [line for line in lines if "prepared statement" in line]
    wrong = [f"{len(prepared)} complaints about prepared statements: {prepared[0]}"] if prepared else []
    if not any("LISTEN does not work through the connection pooler" in line for line in lines):
        wrong.append("no worker noticed the pooler")
    return wrong


@scenario("PgBouncer ended, killed and started again", "pooler", 15, needs=("pgbouncer",), before=before, after=after)
def restarted(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 2.0):
        with stage.outage():
            stage.prop.stop(stage.dice.choice([signal.SIGTERM, signal.SIGKILL, signal.SIGINT]))
            time.sleep(stage.dice.uniform(0.1, 3.0))
            stage.prop.start()


@scenario("PgBouncer told to PAUSE, KILL and RECONNECT", "pooler", 15, needs=("pgbouncer",), before=before, after=after)
def commanded(stage: Stage) -> None:
    for _ in stage.until_over(0.5, 1.5):
        command = stage.dice.choice(["PAUSE", "KILL", "RECONNECT"])
        if command == "RECONNECT":
            stage.prop.command(command)
            continue
        with stage.outage():
            stage.prop.command(f"{command} {DATABASE}")
            time.sleep(stage.dice.uniform(0.1, 4.0))  # beats are held back for longer than a worker may be silent
            stage.prop.command(f"RESUME {DATABASE}")


@scenario(
    "the server behind PgBouncer stopped, and started again",
    "pooler",
    15,
    needs=("pgbouncer",),
    before=before,
    after=after,
)
def server_restarted(stage: Stage) -> None:
    for _ in stage.until_over(1.0, 2.0):
        with stage.outage():
            stage.cluster.stop("fast")
            time.sleep(stage.dice.uniform(0.2, 4.0))
            stage.cluster.start()
