"""A worker with an allow-list runs what is on it, and imports and calls nothing else."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue
from tests.support import tasks
from tests.support.processes import ROOT
from tests.support.rows import put_job, row_of
from tests.support.worker import drain, scalar
from tests.worker.executors.test_signatures import Touch

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

pytestmark = pytest.mark.in_turns(3)


def test_a_worker_with_an_allow_list_calls_nothing_else(
    database_url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    tasks.make_seen(conn)
    allowed = [enqueue(conn, tasks.healthy.options(executor=kind), 1).id for kind in (None, "thread", "process")]
    evil = pickle.dumps((tasks.healthy, (Touch(tmp_path / "loaded"),), {}))
    refused = [
        put_job(conn, task="tests.support.tasks:healthy", payload=evil, executor=kind) for kind in (None, "process")
    ]
    refused.append(enqueue(conn, max, 1, 2).id)
    drain(database_url, "--allow", "tests.support.tasks")
    for job in allowed:
        assert row_of(conn, job)["status"] == "completed"
    for job in refused:
        row = row_of(conn, job)
        assert (row["status"], row["attempt"]) == ("failed", 1), row
        assert row["error"].startswith("NotAllowedError: ")
        assert "--allow" in row["error"]
        assert scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs WHERE id = %s", [job]) == 1
    assert not (tmp_path / "loaded").exists()


def test_the_environment_has_an_allow_list_too(database_url: str, conn: psycopg.Connection) -> None:
    job = enqueue(conn, max, 1, 2).id
    drain(database_url, env={"PGJOBS_ALLOW": "shop.*"})
    assert row_of(conn, job)["status"] == "failed"
    job = enqueue(conn, max, 1, 2).id
    drain(database_url, env={"PGJOBS_ALLOW": "shop.*,builtins:max"})
    assert row_of(conn, job)["status"] == "completed"


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_worker_may_take_json_alone(database_url: str, conn: psycopg.Connection, tmp_path: Path, by: str) -> None:
    evil = pickle.dumps((tasks.healthy, (Touch(tmp_path / "loaded"),), {}))
    refused = [
        put_job(conn, task="tests.support.tasks:healthy", payload=evil, executor=kind) for kind in (None, "process")
    ]
    taken = [enqueue(conn, tasks.told.options(executor=kind), 1).id for kind in (None, "process")]
    (tmp_path / "script.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w')\n")
    sql = "SELECT pgjobs.enqueue('script:anything', '[]', executor => %s, max_attempts => 1)"
    named = [scalar(conn, sql, [kind]) for kind in ("thread", "process")]
    imports = ("--import", "tests.support.tasks")
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    if by == "option":
        drain(database_url, "--payload", "json", *imports, env=path)
    else:
        drain(database_url, *imports, env={**path, "PGJOBS_PAYLOAD": "json"})
    for job in named:
        row = row_of(conn, job)
        assert row["error_kind"] == "module_missing", row
        assert "Start it with --import script, or with --allow" in row["error"]
    for job in taken:
        assert row_of(conn, job)["status"] == "completed"
    for job in refused:
        row = row_of(conn, job)
        assert (row["status"], row["attempt"]) == ("failed", 1), row
        assert row["error"].startswith("NotAllowedError: the payload of tests.support.tasks:healthy is a pickle")
        assert "--payload json" in row["error"]
        assert scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs WHERE id = %s", [job]) == 1
    assert not (tmp_path / "loaded").exists()


def test_a_worker_does_not_unpickle_what_a_job_s_process_answers(
    database_url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    evil = pickle.dumps(Touch(tmp_path / "loaded"))
    job = enqueue(conn, tasks.answer_with, evil).id
    late = enqueue(conn, tasks.answer_with.options(timeout=20), evil).id  # its first answer is for when it is late
    drain(database_url)
    assert not (tmp_path / "loaded").exists()
    for number in (job, late):
        assert "sent an invalid answer" in row_of(conn, number)["error"]


def test_a_job_in_a_thread_does_not_choose_what_sql_its_worker_reads(
    database_url: str, conn: psycopg.Connection
) -> None:
    job = enqueue(conn, tasks.break_reading).id
    drain(database_url)
    assert (row_of(conn, job)["status"], row_of(conn, job)["error"]) == ("failed", "ValueError: broken")
    assert scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs WHERE id = %s", [job]) == 1
