"""The demo's workers: the real `pgjobs work`, as a process of its own."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pgjobs
from pgjobs.core.processes import die_with_parent
from pgjobs.core.python_processes import python_command
from pgjobs.demo.tasks import PING_QUEUE, QUEUE

if TYPE_CHECKING:
    import psycopg

ARGUMENTS = [
    "work",
    *("-q", f"{QUEUE}:4", "-q", f"{PING_QUEUE}:1", "--processes", "2"),
    *("--import", "pgjobs.demo.tasks", "--grace", "5"),
]
STOP_PATIENCE = 10.0  # seconds from SIGTERM to SIGKILL


class Killed(NamedTuple):
    """A worker process that was killed, and how many jobs it had claimed and not finished."""

    worker_id: int
    pid: int
    jobs: int


class Workers:
    """A process `pgjobs work` on a database. It logs to a file, and runs in the folder of that file."""

    def __init__(self, url: str, log: Path) -> None:
        self._log = log
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PGJOBS_")}
        here = str(Path(pgjobs.__file__).resolve().parents[1])
        paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment |= {"PGJOBS_DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(paths)}
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                python_command("pgjobs.demo.workers", os.getpid(), *ARGUMENTS),
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                process_group=0,  # Ctrl-C on a terminal reaches only the demo, which then stops the workers
            )

    def are_alive(self) -> bool:
        """Return True if `pgjobs work` still runs."""
        return self._process.poll() is None

    def last_words(self) -> str:
        """Return the last line of the log."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "nothing was logged"
        try:
            return str(json.loads(last)["event"])
        except (ValueError, KeyError, TypeError):
            return last

    def kill_one(self, conn: psycopg.Connection) -> Killed | None:
        """Kill the worker process with the most jobs by SIGKILL. Return None if no worker has a job at the moment."""
        busiest = conn.execute(
            "SELECT w.id, w.pid FROM pgjobs.workers AS w JOIN pgjobs.jobs AS j ON j.worker_id = w.id "
            "WHERE j.status = 'running' AND j.queue = %s AND w.queues ? %s "
            "GROUP BY w.id ORDER BY count(*) DESC LIMIT 1",
            [QUEUE, PING_QUEUE],
        ).fetchone()
        if busiest is None:
            return None
        worker_id, pid = busiest
        try:
            os.kill(pid, signal.SIGSTOP)  # so that it finishes no job between the count and the kill
        except ProcessLookupError:
            return None
        jobs = 0
        try:
            row = conn.execute(
                "SELECT count(*) FROM pgjobs.jobs WHERE worker_id = %s AND status = 'running'", [worker_id]
            ).fetchone()
            jobs = row[0] if row else 0
        finally:
            os.kill(pid, signal.SIGKILL if jobs else signal.SIGCONT)
        return Killed(worker_id, pid, jobs) if jobs else None

    def stop(self) -> None:
        """Stop the workers: by SIGTERM, and by SIGKILL if they do not exit in time."""
        if self.are_alive():
            self._process.terminate()
        try:
            self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Run `pgjobs work` until the demo ends, even by SIGKILL: `python -m pgjobs.demo.workers PARENT ARGS`."""
    die_with_parent(int(sys.argv[1]))
    sys.argv = ["pgjobs", *sys.argv[2:]]
    runpy.run_module("pgjobs", run_name="__main__")


if __name__ == "__main__":
    main()
