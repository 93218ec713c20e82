"""The steps of random workflows. What happens to an attempt is written in a table; what ran is noted in another one."""

from __future__ import annotations

import os
import threading
from typing import Any

import psycopg

from pgjobs import complete, current_job, job, sleep, wait_for
from pgjobs.core.config import settings

TABLES = """
CREATE TABLE fates (graph int, step int, n int, fails int, PRIMARY KEY (graph, step, n));
CREATE TABLE runs (at bigint GENERATED ALWAYS AS IDENTITY, graph int, step int, n int, ends boolean, job bigint);
CREATE TABLE effects (graph int, step int, n int)
"""
OVER = 2
"""How many items a step returns that a map is made over."""
FOR_GOOD = 2
"""As a number of failures: it fails until it is healed. 1: once."""
_local = threading.local()


class Fatal(Exception):
    """What no other attempt follows."""


def _conn() -> Any:
    conn = getattr(_local, "conn", None)
    if conn is None or conn.closed or _local.pid != os.getpid():
        url = settings().database_url
        assert url is not None
        conn, _local.pid = psycopg.connect(url, autocommit=True), os.getpid()
        _local.conn = conn
    return conn


def _run(graph: int, step: int, n: int = -1) -> None:
    """Note that it runs, and fail if it is to."""
    conn, current = _conn(), current_job()
    values = [graph, step, n, current.id]
    conn.execute("INSERT INTO runs (graph, step, n, ends, job) VALUES (%s, %s, %s, false, %s)", values)
    row = conn.execute("SELECT fails FROM fates WHERE (graph, step, n) = (%s, %s, %s)", values[:3]).fetchone()
    if row is None or not row[0]:
        return
    if row[0] == FOR_GOOD:
        raise Fatal(f"step {step} of graph {graph} is to fail for good")
    conn.execute("UPDATE fates SET fails = 0 WHERE (graph, step, n) = (%s, %s, %s)", values[:3])
    raise RuntimeError(f"step {step} of graph {graph} is to fail once")


def _end(graph: int, step: int, n: int = -1) -> None:
    values = [graph, step, n, current_job().id]
    _conn().execute("INSERT INTO runs (graph, step, n, ends, job) VALUES (%s, %s, %s, true, %s)", values)


def _items(graph: int, step: int) -> list[tuple[int, int, int]]:
    return [(graph, step, n) for n in range(1000, 1000 + OVER)]


@job(max_attempts=20, backoff=0.01, give_up_on=Fatal)
def step(graph: int, number: int) -> list[tuple[int, int, int]]:
    _run(graph, number)
    _end(graph, number)
    return _items(graph, number)


@job(max_attempts=20, backoff=0.01, give_up_on=Fatal)
def member(item: tuple[int, int, int]) -> int:
    graph, step, n = item
    step = current_job().meta.get("step", step)  # of a map over a result: its own number
    _run(graph, step, n)
    _end(graph, step, n)
    return n


@job(max_attempts=20, backoff=0.01, give_up_on=Fatal, result=True)
def completer(graph: int, number: int) -> list[tuple[int, int, int]]:
    """Complete in a transaction of its own: its effect is there once, whatever is killed."""
    _run(graph, number)
    conn = _conn()
    with conn.transaction():
        conn.execute("INSERT INTO effects (graph, step, n) VALUES (%s, %s, -1)", [graph, number])
        values = [graph, number, -1, current_job().id]
        conn.execute("INSERT INTO runs (graph, step, n, ends, job) VALUES (%s, %s, %s, true, %s)", values)
        complete(conn, result=_items(graph, number))
    return _items(graph, number)


@job(max_attempts=20, backoff=0.01, give_up_on=Fatal)
def grower(graph: int, number: int, count: int) -> list[tuple[int, int, int]]:
    """Add steps, whether the attempt then fails or not."""
    flow = current_job().workflow
    flow.map(member, [(graph, number, n) for n in range(count)])
    _run(graph, number)
    _end(graph, number)
    return _items(graph, number)


@job(max_attempts=20, backoff=0.01, give_up_on=Fatal)
def waiter(graph: int, number: int) -> list[tuple[int, int, int]]:
    """Sleep for a moment, and wait for a signal to the workflow."""
    sleep(0.05)
    wait_for("go")
    _run(graph, number)
    _end(graph, number)
    return _items(graph, number)


@job(max_attempts=20, backoff=0.01)
def called(graph: int, what: int) -> None:
    """Note that the workflow has called back."""
    _end(graph, what)
