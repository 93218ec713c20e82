"""DBOS on PostgreSQL: a chain is one workflow whose steps follow each other in code.

A fan-out is one that enqueues others and waits for all of them.
"""

from __future__ import annotations

import threading

from benchmarks.drivers.graphs import serve
from benchmarks.drivers.protocol import DATABASE_URL, ran
from dbos import DBOS, DBOSClient

QUEUE = "graphs"
DBOS(
    config={
        "name": "graphs",
        "system_database_url": DATABASE_URL,
        "log_level": "ERROR",
        "run_admin_server": False,
        "application_version": "1",
    }
)


@DBOS.step(name="step")
def step(number: int) -> None:
    ran(number)


@DBOS.workflow(name="in_turn")
def in_turn(first: int, length: int) -> None:
    for number in range(first, first + length):
        step(number)


@DBOS.workflow(name="one_of_many")
def one_of_many(number: int) -> None:
    ran(number)


@DBOS.workflow(name="all_of_many")
def all_of_many(steps: int) -> None:
    handles = [DBOS.enqueue_workflow(QUEUE, one_of_many, number) for number in range(steps)]
    for handle in handles:
        handle.get_result()
    ran(steps)


def enqueue(name: str, *values: int) -> None:
    client = DBOSClient(system_database_url=DATABASE_URL)
    client.enqueue({"workflow_name": name, "queue_name": QUEUE, "app_version": "1"}, *values)


def fill(chains: int, length: int) -> None:
    client = DBOSClient(system_database_url=DATABASE_URL)
    for at in range(chains):
        client.enqueue({"workflow_name": "in_turn", "queue_name": QUEUE, "app_version": "1"}, at * length, length)


def fan_in(steps: int) -> None:
    enqueue("all_of_many", steps)


def work() -> None:
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=0.01, worker_concurrency=100, on_conflict="always_update")
    threading.Event().wait()


def prepare() -> None:
    DBOS.launch()
    DBOS.register_queue(QUEUE)
    DBOS.destroy()


if __name__ == "__main__":
    serve(fill, fan_in, work, prepare)
