"""`pgjobs dev`, as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import children, environment, is_alive, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg import Connection

pytestmark = pytest.mark.in_turns(3)

SHOP = """
from pgjobs import job

@job(queue="mail-eu")
def send(number):
    print("version 1 sends", number)
"""
FILE = """
[tool.pgjobs]
queues = ["mail-*:2"]
imports = ["shop_of_dev"]
"""
ENQUEUE = "import pgjobs, shop_of_dev\nwith pgjobs.connect() as conn: pgjobs.enqueue(conn, shop_of_dev.send, {})"


def test_a_worker_for_patterns_of_pyproject_runs_new_code_after_a_change_and_ends_in_order(
    database_url: str, conn: Connection, tmp_path: Path
) -> None:
    module, log = tmp_path / "shop_of_dev.py", tmp_path / "log"
    module.write_text(SHOP)
    (tmp_path / "pyproject.toml").write_text(FILE)
    surroundings = {**environment(), "PGJOBS_DATABASE_URL": database_url}

    def enqueue(number: int, options: str = "") -> None:
        code = ENQUEUE.replace("send,", f"send{options},").format(number)
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=surroundings, check=True)

    def is_said(text: str) -> bool:
        return text in log.read_text()

    with log.open("w") as output:
        dev = subprocess.Popen(
            [sys.executable, "-m", "pgjobs", "dev"], cwd=tmp_path, env=surroundings, stdout=output, stderr=output
        )
    try:
        enqueue(0, ".options(queue='other')")
        enqueue(1)
        wait_until(lambda: is_said("version 1 sends 1"), 60)  # which queues there are was not known before
        (worker,) = children(dev.pid)
        module.write_text("syntax error(")
        wait_until(lambda: is_said("starts again after a change"), 60)
        module.write_text(SHOP.replace("version 1", "version 2"))
        enqueue(2)
        wait_until(lambda: is_said("version 2 sends 2"), 60)
        assert not is_alive(worker)
        (worker,) = children(dev.pid)
        dev.send_signal(signal.SIGINT)
        assert dev.wait(60) == 0
        assert not is_alive(worker)
        rows = conn.execute("SELECT queue::text, status::text FROM pgjobs.jobs ORDER BY id").fetchall()
        assert rows == [("other", "queued"), ("mail-eu", "completed"), ("mail-eu", "completed")]
    finally:
        dev.kill()
        dev.wait()


SLOW = """
import time
from pgjobs import job

@job(queue="reports")
def rest(seconds):
    print("rests")
    time.sleep(seconds)
"""
REST = "import pgjobs, slow_of_dev\nwith pgjobs.connect() as conn: pgjobs.enqueue(conn, slow_of_dev.rest, {})"


@contextmanager
def dev_without_reload(folder: Path, surroundings: dict[str, str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run it in a folder with a slow job, as the leader of a group, as a shell does; its output is in `log`."""
    (folder / "slow_of_dev.py").write_text(SLOW)
    with (folder / "log").open("w") as output:
        command = [sys.executable, "-m", "pgjobs", "dev", "--no-reload", "--import", "slow_of_dev", *options]
        dev = subprocess.Popen(
            command, cwd=folder, env=surroundings, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield dev
    finally:
        dev.kill()
        dev.wait()


def begin_to_rest(folder: Path, surroundings: dict[str, str], seconds: float) -> None:
    subprocess.run([sys.executable, "-c", REST.format(seconds)], cwd=folder, env=surroundings, check=True)
    wait_until(lambda: "rests" in (folder / "log").read_text(), 60)


def test_one_ctrl_c_on_a_terminal_lets_running_jobs_end(database_url: str, conn: Connection, tmp_path: Path) -> None:
    surroundings = {**environment(), "PGJOBS_DATABASE_URL": database_url}
    url = {"PGJOBS_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"}  # the option wins
    with dev_without_reload(tmp_path, surroundings | url, "--database-url", database_url, "--grace", "60") as dev:
        begin_to_rest(tmp_path, surroundings, 3)
        os.killpg(dev.pid, signal.SIGINT)  # a terminal sends it to the whole group
        assert dev.wait(60) == 0
    assert conn.execute("SELECT status::text FROM pgjobs.jobs").fetchall() == [("completed",)]


def test_a_second_ctrl_c_ends_running_jobs(database_url: str, conn: Connection, tmp_path: Path) -> None:
    surroundings = {**environment(), "PGJOBS_DATABASE_URL": database_url}
    with dev_without_reload(tmp_path, surroundings, "--grace", "600") as dev:
        begin_to_rest(tmp_path, surroundings, 600)
        dev.send_signal(signal.SIGINT)
        wait_until(lambda: "draining" in (tmp_path / "log").read_text(), 30)
        dev.send_signal(signal.SIGINT)
        dev.wait(30)
    assert conn.execute("SELECT status::text FROM pgjobs.jobs").fetchall() != [("completed",)]


def test_without_a_database_it_starts_one_serves_all_queues_and_takes_its_worker_along(
    embedded_directory: Path, binaries: Path
) -> None:
    embedded_directory.mkdir(mode=0o711)
    surroundings = {**environment(), "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    surroundings.pop("PGJOBS_DATABASE_URL", None)
    with dev_without_reload(embedded_directory, surroundings) as dev:
        wait_until(lambda: "the embedded PostgreSQL in ./.pgjobs/" in (embedded_directory / "log").read_text(), 60)
        begin_to_rest(embedded_directory, surroundings, 0)
        worker = next(pid for pid in children(dev.pid) if is_alive(pid))
        dev.kill()
        wait_until(lambda: not is_alive(worker), 30)


def test_folder_to_watch_that_is_not_there_is_refused(database_url: str, tmp_path: Path) -> None:
    surroundings = {**environment(), "PGJOBS_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "pgjobs", "dev", "--watch", "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "pgjobs: there is no nowhere to watch.\n"


WITHOUT_WATCHFILES = """
import sys
sys.modules["watchfiles"] = None
from pgjobs.cli.main import main
sys.exit(main(["dev"]))
"""


def test_where_nothing_can_watch_a_line_says_so_and_the_worker_runs(database_url: str, tmp_path: Path) -> None:
    surroundings, log = {**environment(), "PGJOBS_DATABASE_URL": database_url}, tmp_path / "log"
    with log.open("w") as output:
        command = [sys.executable, "-c", WITHOUT_WATCHFILES]
        dev = subprocess.Popen(command, cwd=tmp_path, env=surroundings, stdout=output, stderr=output)
    try:
        wait_until(lambda: "1 worker process" in log.read_text(), 60)
        dev.send_signal(signal.SIGINT)
        assert dev.wait(60) == 0
    finally:
        dev.kill()
    assert "changes of the code are not noticed" in log.read_text()
    assert "Traceback" not in log.read_text()
