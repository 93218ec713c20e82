"""Broadcasts over two hosts: `make hosts`.

Each host is a network namespace with a name and an address of its own, joined to PostgreSQL by a cable (veth). On each
runs `pgjobs work` with four processes, all of whose slots are taken. Then broadcasts go out while a process is killed,
another one joins, a host loses its cable, and one stops in order. In the end each process is accounted for once.

It takes root and `ip`; without them it says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from pgjobs import broadcast, enqueue, results
from pgjobs.admin import show_broadcast
from pgjobs.embedded import find_binaries
from tests.events import calls
from tests.support.worker import Work, scalar, wait_for, work
from tests.system.chaos.cluster import Cluster, folder, make_template, running

HOSTS = ("pgjobs-a", "pgjobs-b")
PROCESSES = 4  # on each host
HEARTBEAT, RESCUE_AFTER = 0.5, 3.0  # seconds
OPTIONS = ("-q", "threads:1", "--heartbeat", HEARTBEAT, "--rescue-after", RESCUE_AFTER, "--grace", 5)


@dataclass(frozen=True)
class Host:
    """A namespace. `number`: of its network, 10.213.NUMBER.0/24, in which PostgreSQL's machine has the address 1."""

    name: str
    number: int

    @property
    def before(self) -> list[str]:
        """The command that starts another one there, under the name of the host."""
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["ip", "netns", "exec", self.name, *named]

    @property
    def cable(self) -> str:
        """The end of its cable that is in our namespace."""
        return f"pgjobs{self.number}"

    def url(self, cluster: Cluster) -> str:
        """Return the database as it is reached from there."""
        return cluster.url.replace("127.0.0.1", f"10.213.{self.number}.1")

    def plug(self, *, into: bool) -> None:
        """Connect or cut its cable."""
        ip("link", "set", self.cable, "up" if into else "down")


def ip(*words: object) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *map(str, words)], check=True)


@contextmanager
def host(name: str, number: int) -> Iterator[Host]:
    """Make a host, and remove it in the end."""
    made, inner = Host(name, number), f"inner{number}"
    ip("netns", "add", name)
    try:
        ip("link", "add", made.cable, "type", "veth", "peer", "name", inner, "netns", name)
        ip("address", "add", f"10.213.{number}.1/24", "dev", made.cable)
        made.plug(into=True)
        ip("-n", name, "address", "add", f"10.213.{number}.2/24", "dev", inner)
        ip("-n", name, "link", "set", inner, "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield made
    finally:
        ip("netns", "delete", name)


@contextmanager
def server() -> Iterator[Cluster]:
    """Run a server that all hosts can reach."""
    with folder() as (place, account):
        cluster = make_template(find_binaries(), place, account)
        cluster.configure(listen_addresses="*")
        with (cluster.data / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.213.0.0/16 trust\n")
        with running(cluster):
            yield cluster


def main() -> int:
    """Run it all, and return the exit code."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        print("Not run: network namespaces take root, `ip` and `unshare`.")
        return 2
    began = time.monotonic()
    with ExitStack() as stack:
        hosts = [stack.enter_context(host(name, n)) for n, name in enumerate(HOSTS, start=1)]
        cluster = stack.enter_context(server())
        conn = stack.enter_context(cluster.connected())
        conn.execute(calls.CALLED)
        works = [stack.enter_context(start(each, cluster, PROCESSES)) for each in hosts]
        fill(conn)
        whole(conn, works)
        killed_and_joined(conn, hosts, cluster, works, stack)
        without_cable(conn, hosts[1], works)
        stopped(conn, works[0])
    print(f"Each process was accounted for, after {time.monotonic() - began:.0f} s.")
    return 0


@contextmanager
def start(where: Host, cluster: Cluster, processes: int) -> Iterator[Work]:
    """Run a supervisor on a host."""
    url = where.url(cluster)
    options = (*OPTIONS, "--processes", processes)
    with work(url, *options, env={"TASKS_DATABASE_URL": url}, before=where.before) as started:
        assert started.process.poll() is None, started.output
        yield started


def fill(conn: psycopg.Connection[Any]) -> None:
    """Take all slots."""
    count = scalar(conn, "SELECT count(*) FROM pgjobs.workers")
    assert count == PROCESSES * len(HOSTS), count
    for _ in range(count):
        enqueue(conn, calls.busy)
    wait_for(conn, f"(SELECT count(*) FROM called WHERE what = 'busy') = {count}")
    print(f"{count} worker processes on {len(HOSTS)} hosts; all of their slots are taken.")


def whole(conn: psycopg.Connection[Any], works: list[Work]) -> None:
    """Broadcast while nothing fails: to all processes, to one of each host, and to those of a queue."""
    processes = sorted(pid for each in works for pid in each.members())
    began = time.monotonic()
    made = broadcast(conn, calls.pid)
    assert sorted(results(conn, made, timeout=20)) == processes
    print(f"All {len(processes)} have run one after {(time.monotonic() - began) * 1000:.0f} ms: {counted(conn, made)}.")
    one_each = broadcast(conn, calls.pid, on="hosts")
    assert len(results(conn, one_each, timeout=20)) == len(HOSTS)
    assert {run.host for run in show_broadcast(conn, one_each).runs} == set(HOSTS)
    print(f"One of each host: {counted(conn, one_each)}.")
    assert results(conn, broadcast(conn, calls.pid, on="queue:other"), timeout=20) == []


def killed_and_joined(
    conn: psycopg.Connection[Any], hosts: list[Host], cluster: Cluster, works: list[Work], stack: ExitStack
) -> None:
    """Kill one process while it runs a broadcast, and have another one join."""
    made = broadcast(conn, calls.takes, "killed", 3.0, within=300)
    wait_for(conn, "(SELECT count(*) FROM called WHERE what = 'killed') = 8")
    victim = works[0].members()[0]
    subprocess.run(["kill", "-KILL", str(victim)], check=True)
    works.append(stack.enter_context(start(hosts[1], cluster, 1)))
    (joined,) = works[-1].members()
    wait_for(conn, "(SELECT count(*) FROM called WHERE what = 'killed') = 10")  # that one, and the victim's successor
    values = results(conn, made, timeout=30, return_errors=True)
    runs = {run.pid: run for run in show_broadcast(conn, made).runs}
    assert len(runs) == len(values) == 10
    assert (runs[victim].state, runs[joined].state) == ("gone", "completed")
    assert Counter(run.state for run in runs.values()) == {"completed": 9, "gone": 1}
    calls_of = dict(conn.execute("SELECT pid, count(*) FROM called WHERE what = 'killed' GROUP BY 1").fetchall())
    assert calls_of == dict.fromkeys(runs, 1), calls_of
    assert {run.pid for run in runs.values() if run.state == "completed"} == {
        pid for each in works for pid in each.members()
    }
    print(f"One killed while it ran, its successor and another one joined: {counted(conn, made)}.")


def without_cable(conn: psycopg.Connection[Any], where: Host, works: list[Work]) -> None:
    """Broadcast while a host cannot be reached: its processes are given up, and those that come later run it."""
    before = {pid for each in works[1:] for pid in each.members()}
    where.plug(into=False)
    try:
        made = broadcast(conn, calls.note, "cut", within=300)
        wait_for(conn, f"(SELECT count(*) FROM called WHERE what = 'cut') = {PROCESSES}")
        wait_for(
            conn,
            "NOT EXISTS (SELECT FROM pgjobs.broadcast_runs WHERE state IN ('queued', 'running')"
            f" AND broadcast_id = {made.id})",
            60,
        )
        runs = show_broadcast(conn, made).runs
        gone = {run.pid for run in runs if run.state == "gone"}
        assert gone == before, (gone, before)
        assert {run.host for run in runs if run.state == "completed"} == {HOSTS[0]}
        print(f"A host without its cable: {counted(conn, made)}.")
    finally:
        where.plug(into=True)
    wait_for(conn, f"(SELECT count(*) FROM called WHERE what = 'cut') = {PROCESSES + len(before)}", 90)
    results(conn, made, timeout=30, return_errors=True)
    assert Counter(run.state for run in show_broadcast(conn, made).runs) == {
        "completed": PROCESSES + len(before),
        "gone": len(before),
    }
    print(f"Its new processes, once it is back: {counted(conn, made)}.")


def stopped(conn: psycopg.Connection[Any], first: Work) -> None:
    """Stop a supervisor while its processes run one: they finish it, and begin no other."""
    members = set(first.members())
    made = broadcast(conn, calls.takes, "stopped", 2.0, late="skip")
    wait_for(conn, f"(SELECT count(*) FROM called WHERE what = 'stopped' AND pid = ANY ('{{{listed(members)}}}')) = 4")
    behind = broadcast(conn, calls.pid, late="skip")
    first.signal(15)
    results(conn, behind, timeout=60, return_errors=True)
    states = {run.pid: run.state for run in show_broadcast(conn, made).runs}
    assert {states[pid] for pid in members} == {"completed"}, states
    states = {run.pid: run.state for run in show_broadcast(conn, behind).runs}
    assert {states[pid] for pid in members} == {"gone"}, states
    print(f"A host that stops: {counted(conn, made)}; the next one: {counted(conn, behind)}.")


def counted(conn: psycopg.Connection[Any], made: Any) -> str:
    """Return in how many processes a broadcast is how."""
    found = Counter(run.state for run in show_broadcast(conn, made).runs)
    return ", ".join(f"{count} {state}" for state, count in sorted(found.items()))


def listed(pids: set[int]) -> str:
    """Write an array's content."""
    return ",".join(map(str, sorted(pids)))


if __name__ == "__main__":
    sys.exit(main())
