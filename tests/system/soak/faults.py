"""What is done to the workers and the server, one thing after another, as the dice fall.

The first supervisor, the *calm* one, is never killed, so that what grows in its processes is seen to grow. It does feel
whatever hits the server.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tests.support.processes import children
from tests.system.chaos.cluster import wait_for_children
from tests.system.chaos.scenarios.processes import kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.soak.run import Soak

TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name LIKE 'pgjobs%' AND datname = current_database()
"""
SNAPSHOT = 60.0  # seconds


def kill_worker(soak: Soak) -> None:
    pid = soak.a_member()
    if pid is not None:
        kill(pid)


def kill_job_process(soak: Soak) -> None:
    pid = soak.a_member()
    for child in children(pid) if pid is not None else []:
        kill(child)


def restart_supervisor(soak: Soak) -> None:
    """As a new version is brought out: the new one starts, the old one drains."""
    victim = soak.a_work()
    soak.start_worker()
    victim.stop(60)


def kill_supervisor_and_workers(soak: Soak) -> None:
    victim = soak.a_work()
    for pid in [victim.pid, *victim.members()]:
        kill(pid)
    victim.process.wait(10)
    soak.start_worker()


def terminate_backends(soak: Soak) -> None:
    with soak.cluster.connected() as conn:
        conn.execute(TERMINATE)


def cut_network(soak: Soak) -> None:
    soak.proxy.cut()


def no_network(soak: Soak) -> None:
    soak.proxy.mode = "refuse"
    soak.proxy.cut()
    time.sleep(soak.dice.uniform(1.0, 5.0))
    soak.proxy.mode = "pass"


def slow_network(soak: Soak) -> None:
    soak.proxy.delay = soak.dice.uniform(0.02, 0.1)
    time.sleep(soak.dice.uniform(3.0, 8.0))
    soak.proxy.delay = 0.0


def restart_server(soak: Soak) -> None:
    with soak.auditing:
        soak.cluster.stop("fast")
        time.sleep(soak.dice.uniform(0.2, 3.0))
        soak.cluster.start()


def crash_server(soak: Soak) -> None:
    with soak.auditing:
        soak.cluster.stop("immediate")
        wait_for_children(soak.cluster)
        soak.cluster.start()


def lock_jobs(soak: Soak) -> None:
    with soak.cluster.connected() as conn, conn.transaction():
        conn.execute(f"LOCK TABLE pgjobs.jobs IN {soak.dice.choice(['ACCESS EXCLUSIVE', 'EXCLUSIVE', 'SHARE'])} MODE")
        time.sleep(soak.dice.uniform(1.0, 4.0))


def hold_snapshot(soak: Soak) -> None:
    """Hold one beside the next faults: VACUUM removes nothing meanwhile, and every other time a day is in use."""
    reads = soak.dice.random() < 0.5

    def hold() -> None:
        with soak.cluster.connected() as conn, conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            conn.execute("SELECT count(*) FROM pgjobs.jobs" if reads else "SELECT pg_current_xact_id()")
            soak.over.wait(min(SNAPSHOT, soak.seconds / 6))

    def note() -> None:
        with soak.noted("snapshot held"):
            hold()

    threading.Thread(target=soak.tolerant(note), daemon=True).start()


FAULTS: list[tuple[float, str, Callable[[Soak], None]]] = [  # by their weight
    (4, "worker killed", kill_worker),
    (3, "job's process killed", kill_job_process),
    (3, "supervisor restarted", restart_supervisor),
    (2, "supervisor and workers killed", kill_supervisor_and_workers),
    (3, "connections terminated", terminate_backends),
    (2, "network cut", cut_network),
    (2, "no network", no_network),
    (1, "slow network", slow_network),
    (1.5, "server restarted", restart_server),
    (0.5, "server crashed", crash_server),
    (3, "jobs locked", lock_jobs),
    (2, "", hold_snapshot),  # notes itself
]
