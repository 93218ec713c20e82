"""What an enqueue costs the caller: Python calls, counted without a database."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import pytest

from pgjobs import Breaker, JobHandle, enqueue, job


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


def in_fork(work: Callable[[], Any]) -> Any:
    """Do it in a process without other threads, and return what it returns.

    CPython 3.11 can hang forever in a profiled call during which another thread asks for the interpreter.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: nothing that they hold is used
        child = os.fork()
    if not child:
        try:
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:  # noqa: PTH123 (a pipe)
        found = file.read()
    os.waitpid(child, 0)
    return json.loads(found)


@pytest.mark.parametrize(
    ("callable", "most", "key"), [(send, 8, None), (sync, 20, ["order:43"])], ids=["plain", "flow"]
)
def test_enqueue_of_a_known_job_makes_few_python_calls(
    callable: Any, most: int, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[Mapping[str, Any]] = []

    def run(name: str, columns: object, values: Mapping[str, Any]) -> list[int]:
        recorded.append(values)
        return [7]

    monkeypatch.setattr(sys.modules["pgjobs.enqueueing"], "runner_of", lambda _: (run, None))
    connection: Any = object()
    enqueue(connection, callable, "acme", 42)
    calls, handle = in_fork(lambda: profiled(lambda: enqueue(connection, callable, "acme", 43)))
    enqueue(connection, callable, "acme", 43)

    assert 0 < len(calls) <= most, calls
    assert handle == 7
    assert recorded[-1].get("keys") == key
