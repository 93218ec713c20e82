"""Hooks at the start and the end of worker processes and their children."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue
from pgjobs.hooks.loading import entry_point_modules
from tests.hooks.test_in_workers import told
from tests.support.processes import ROOT, environment
from tests.support.rows import row_of
from tests.support.tasks_hooks import work
from tests.support.worker import drain, states
from tests.support.worker import work as worker

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

pytestmark = pytest.mark.in_turns(3)

HOOKS = "tests.support.hooks_lifetime"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a package that names the hooks, and give the PYTHONPATH of it."""
    folder = tmp_path / "shop-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[pgjobs.hooks]\nshop = {HOOKS}\nagain = {HOOKS}:flush\n")
    monkeypatch.syspath_prepend(tmp_path)
    return f"{tmp_path}:{environment()['PYTHONPATH']}"


def test_hooks_of_an_installed_package_start_and_stop_each_process(
    database_url: str, conn: psycopg.Connection, installed: str
) -> None:
    assert entry_point_modules() == (HOOKS,)
    enqueue(conn, work.options(executor="process"))
    output = drain(database_url, "-q", "default:1", env={"PYTHONPATH": installed, "HOOK_FAULT": "stop"})

    assert states(conn) == {"completed": 1}
    by_process = [
        [(line.split()[0]) for line in output.splitlines() if f'"pid": {pid}' in line]
        for pid in {each["pid"] for each in told("started", output)}
    ]
    assert by_process == [["started", "stopping", "stopped", "exits"]] * 2, output
    assert output.count("flush_first failed when the process stopped") == 2


def test_start_hook_that_raises_ends_the_worker_with_one_line(database_url: str) -> None:
    with worker(database_url, "--hooks", HOOKS, env={"HOOK_FAULT": "start"}, ready=False) as running:
        assert running.wait(60) == 1
        output = running.output
    said = [line for line in output.splitlines() if "no such pool" in line]
    assert said == [f"pgjobs: the hook {HOOKS}:warm_up raised OSError: no such pool"]
    assert "Traceback" not in output
    assert not told("stopped", output)


def test_start_hook_that_raises_in_a_child_hands_the_job_back(
    database_url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    job = enqueue(conn, work.options(executor="process")).id
    env = {"HOOK_FAULT": "child", "HOOK_FILE": str(tmp_path / "made")}
    output = drain(database_url, "-q", "default:1", "--hooks", HOOKS, env=env)

    assert states(conn) == {"completed": 1}
    assert row_of(conn, job)["attempt"] == 1
    assert f"a child process cannot be started: the hook {HOOKS}:warm_up raised OSError: no such pool" in output
    assert len(told("started", output)) == 3
    assert len(told("stopped", output)) == 2


def test_stop_hook_that_hangs_is_named_and_left_behind() -> None:
    code = (
        f"import {HOOKS}\n"
        "from pgjobs.hooks.lifetime import run_start_hooks\n"
        "from pgjobs.worker.runtime import orderly_exit\n"
        "orderly_exit.LEAVE_WITHIN = 0.3\n"
        "run_start_hooks()\n"
        "orderly_exit.leave_in_order(5)\n"
    )
    env = {**environment(), "HOOK_FAULT": "hang"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 5
    assert f"the hook {HOOKS}:flush_first did not end within 0.3 s" in done.stderr
