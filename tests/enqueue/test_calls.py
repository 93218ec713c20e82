"""What an enqueue costs the caller: Python calls, counted without a database."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import pytest

from pgjobs import Breaker, enqueue, job


@job
def send(tenant: str, order: int) -> None:
    pass


@job(limit="tenant:{tenant}", fair_by="tenant", breaker=Breaker("crm"), unique="order:{order}")
def sync(tenant: str, order: int) -> None:
    pass


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

    monkeypatch.setattr(sys.modules["pgjobs.enqueue"], "runner_of", lambda _: (run, None))
    connection: Any = object()
    enqueue(connection, callable, "acme", 42)
    calls: list[str] = []

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename != __file__:
            calls.append(frame.f_code.co_name)

    # CPython 3.11 can hang in a profiled call during which another thread asks for the interpreter: none does so soon.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    sys.setprofile(profile)
    try:
        handle = enqueue(connection, callable, "acme", 43)
    finally:
        sys.setprofile(None)
        sys.setswitchinterval(interval)

    assert 0 < len(calls) <= most, calls
    assert handle.id == 7
    assert recorded[-1].get("keys") == key
