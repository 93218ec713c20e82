"""`pgjobs dev`, as a user runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.processes import children, environment, is_alive, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg import Connection

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

    def enqueue(number: int) -> None:
        subprocess.run([sys.executable, "-c", ENQUEUE.format(number)], cwd=tmp_path, env=surroundings, check=True)

    def is_said(text: str) -> bool:
        return text in log.read_text()

    with log.open("w") as output:
        dev = subprocess.Popen(
            [sys.executable, "-m", "pgjobs", "dev"], cwd=tmp_path, env=surroundings, stdout=output, stderr=output
        )
    try:
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
        row = conn.execute("SELECT array_agg(status) FROM pgjobs.jobs").fetchone()
        assert row == (["completed"] * 2,)
    finally:
        dev.kill()
        dev.wait()
