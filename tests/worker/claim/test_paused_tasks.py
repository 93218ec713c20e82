"""Which tasks are paused: by name, by module, or by a glob."""

from __future__ import annotations

import pytest

from pgjobs.db.query import task_patterns
from pgjobs.worker.claim.paused_tasks import PausedTasks


@pytest.mark.parametrize(
    ("task", "paused"),
    [
        ("shop.tasks:send", "shop"),
        ("shop:send", "shop"),
        ("shopping:send", None),
        ("a_b:f", "a_b:?"),
        ("axb:f", None),
        ("other:g", None),
    ],
)
def test_a_task_is_paused_by_its_name_its_module_or_a_glob(task: str, paused: str | None) -> None:
    rows = [(name, task_patterns(name) or []) for name in ("shop", "a_b:?")]
    tasks = PausedTasks(rows)
    assert tasks
    assert [tasks.pause_of(task) for _ in range(2)] == [paused] * 2
    assert not PausedTasks()
