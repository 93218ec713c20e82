"""Hooks in real workers: in threads, on the loop and in child processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import JobHandle, enqueue
from tests.support.rows import row_of
from tests.support.tasks_hooks import fail, fail_later, work, work_later
from tests.support.worker import drain, states

if TYPE_CHECKING:
    import psycopg

pytestmark = pytest.mark.in_turns(3)

TASKS = "tests.support.tasks_hooks"


def told(kind: str, output: str) -> list[dict[str, Any]]:
    """Return what the jobs and hooks have printed with this word in front."""
    lines = [line.partition(" ") for line in output.splitlines()]
    return [json.loads(rest) for word, _, rest in lines if word == kind]


def test_tracker_is_told_of_each_failure_once_where_the_job_ran(database_url: str, conn: psycopg.Connection) -> None:
    executors: list[Any] = ["thread", "process", None]
    ids = [
        enqueue(conn, task.options(meta={"user": n}, executor=executor), *()).id
        for n, (task, executor) in enumerate((task, executor) for task in (fail, fail_later) for executor in executors)
    ]
    fine = [enqueue(conn, work_later.options(executor=executor)).id for executor in executors]
    output = drain(database_url, "-q", "default:4", "--import", TASKS)

    assert states(conn) == {"failed": 6, "completed": 3}, output
    tracked = told("tracked", output)
    assert sorted((each["id"], each["attempt"]) for each in tracked) == [(job, n) for job in ids for n in (1, 2)], (
        output
    )
    for each in tracked:
        assert each["meta"] == {"user": ids.index(each["id"])}
        assert each["error"] == "ValueError('no')"
        assert each["stack"][-2:] == [("fail", "fail_later")[ids.index(each["id"]) > 2], "_fail"]
    where = sorted((each["pid"], each["thread"]) for each in told("failed", output))
    assert sorted((each["pid"], each["thread"]) for each in tracked) == where
    assert sorted(each["id"] for each in told("followed", output)) == fine


def test_hook_that_raises_hangs_or_exits_loses_no_job(database_url: str, conn: psycopg.Connection) -> None:
    def enqueued(fault: str, task: Any, **options: Any) -> int:
        handle: JobHandle[Any] = enqueue(conn, task.options(meta={"fault": fault}, **options))
        return handle.id

    executors: list[Any] = ["process", None]
    raising = [enqueued("raise", task, executor=each) for task in (work, work_later) for each in executors]
    hanging = [enqueued("hang", work, executor=each, timeout=0.5) for each in executors]
    exiting = [enqueued("exit", work, executor="process")]
    exiting += [enqueued("exit", work, after=raising + hanging + exiting, if_failed="run")]  # its worker dies
    fine = [enqueue(conn, work).id for _ in range(5)]
    output = drain(database_url, "-q", "default:4", "--import", TASKS)

    assert {row_of(conn, each)["status"] for each in fine} == {"completed"}, output
    for ids, error in (
        (raising, f"HookError: the hook {TASKS}:track raised OSError: tracker is down"),
        (hanging, "JobTimeout: ran longer than its 0.5 s"),
        (exiting, "exit code 7"),
    ):
        for each in ids:
            row = row_of(conn, each)
            assert row["status"] == "failed", f"{row}\n{output}"
            assert error in row["error"]
