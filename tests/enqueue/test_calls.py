"""What an enqueue costs the caller: Python calls, counted without a database."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import pytest

from pgjobs import Breaker, JobHandle, enqueue, job
from tests.support.processes import ROOT


@job
def send(tenant: str, order: int) -> None:
    pass


@job(limit="tenant:{tenant}", fair_by="tenant", breaker=Breaker("crm"), unique="order:{order}")
def sync(tenant: str, order: int) -> None:
    pass


def profiled(call: Callable[[], JobHandle[None]]) -> tuple[list[str], int]:
    """Return the Python functions that a call has called, and the id that it has returned."""
    calls: list[str] = []

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename != __file__:
            calls.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        handle = call()
    finally:
        sys.setprofile(None)
    return calls, handle.id


def count(callable: Any) -> dict[str, Any]:
    """Return what the second enqueue of a job has called, the id, and the keys that it gave to the database."""
    recorded: list[Mapping[str, Any]] = []

    def run(name: str, columns: object, values: Mapping[str, Any]) -> list[int]:
        recorded.append(values)
        return [7]

    sys.modules["pgjobs.enqueueing"].runner_of = lambda _: (run, None)  # type: ignore[attr-defined]  # no database
    connection: Any = object()
    enqueue(connection, callable, "acme", 42)
    calls, handle = profiled(lambda: enqueue(connection, callable, "acme", 43))
    return {"calls": calls, "id": handle, "keys": recorded[-1].get("keys")}


@pytest.mark.parametrize(("name", "most", "keys"), [("send", 8, None), ("sync", 20, ["order:43"])])
def test_enqueue_of_a_known_job_makes_few_python_calls(name: str, most: int, keys: Any) -> None:
    # In a process of its own: CPython 3.11 can hang in a profiled call during which another thread asks for the
    # interpreter, and pytest has such threads.
    code = f"import json; from {__name__} import {name}, count; print(json.dumps(count({name})))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    found = json.loads(done.stdout)
    assert 0 < len(found["calls"]) <= most, found["calls"]
    assert (found["id"], found["keys"]) == (7, keys)
