"""What jobs start and register ends as it would elsewhere, and before a job is given to another worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue
from tests.support.processes import environment, is_alive, wait_until
from tests.support.rows import row_of
from tests.support.tasks_ends import TRACES
from tests.support.tasks_processes import (
    count_zombies,
    leave_program,
    leave_program_and_linger,
    register_for_the_end,
    run_program,
    signal_what_it_starts,
    traces,
)
from tests.support.worker import drain, wait_done, work

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

pytestmark = pytest.mark.in_turns(3)

IN_ORDER = "from pgjobs.worker.runtime import orderly_exit as end; end.THREADS_WITHIN = end.LEAVE_WITHIN = 0.5\n"


@pytest.fixture(scope="module")
def new_processes() -> list[str]:
    """The command that gives a program process numbers of its own, with itself as number 1."""
    for command in (["unshare", "-pf"], ["unshare", "-rpf"]):
        whole = [*command, "--mount-proc", "--kill-child"]
        if not subprocess.run([*whole, "true"], capture_output=True, check=False).returncode:
            return whole
    pytest.skip("no process numbers of one's own can be had here")


def test_what_a_job_starts_gets_signals_as_it_would_elsewhere_and_what_it_registered_is_done_at_the_end(
    database_url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    for executor in ("thread", "process"):
        enqueue(conn, signal_what_it_starts.options(executor=executor), executor)
        enqueue(conn, register_for_the_end.options(executor=executor), f"{executor}-end")
    # One after the other: a pool that forks while another job starts a program keeps the pipe on which that one waits.
    drain(database_url, "-q", "default:1", env={TRACES: str(tmp_path)})
    for executor in ("thread", "process"):
        assert traces(tmp_path, executor) == [f"fork: {-signal.SIGTERM}", "program: tidied up"]
        assert traces(tmp_path, f"{executor}-end") == ["at the end"]
        (pool,) = traces(tmp_path, f"{executor}-end-pool")
        assert not is_alive(int(pool))


def test_a_program_ends_before_its_job_is_given_back_and_with_a_worker_whose_supervisor_is_gone(
    database_url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    names = ("thread", "process", "timeout")
    enqueue(conn, run_program, "thread")
    enqueue(conn, run_program.options(executor="process"), "process")
    enqueue(conn, run_program.options(timeout=0.5), "timeout")
    with work(database_url, "--grace", 0.2, env={TRACES: str(tmp_path)}) as running:
        wait_until(lambda: all(traces(tmp_path, name) for name in names))
        for member in running.members():
            os.kill(member, signal.SIGKILL)
        wait_until(lambda: all(len(traces(tmp_path, name)) > 1 for name in names), 45)
        running.signal(signal.SIGKILL)  # without a supervisor a worker ends them itself
        wait_until(lambda: not running.remains())
    assert all(line.endswith("beside 0") for name in names for line in traces(tmp_path, name))


def test_programs_end_with_a_worker_whose_supervisor_ends_while_it_leaves(
    database_url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    enqueue(conn, leave_program_and_linger, "left")
    with work(database_url, env={TRACES: str(tmp_path)}) as running:
        wait_done(conn, log=lambda: running.output)
        for member in running.members():
            os.kill(member, signal.SIGTERM)
        wait_until(lambda: traces(tmp_path, "left-end"))
        running.signal(signal.SIGKILL)
        wait_until(lambda: not running.remains())


def test_process_1_waits_for_what_it_inherits(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, new_processes: list[str]
) -> None:
    job = enqueue(conn, run_program.options(executor="process", timeout=0.5, max_attempts=1), "late").id
    for _ in range(3):
        enqueue(conn, leave_program)
    with work(database_url, env={TRACES: str(tmp_path)}, ready=False, before=new_processes) as running:
        wait_done(conn, log=lambda: running.output)
        enqueue(conn, count_zombies.options(delay=0.7), "zombies")
        wait_until(lambda: traces(tmp_path, "zombies"))
    assert row_of(conn, job)["status"] == "failed"
    assert traces(tmp_path, "zombies") == ["0"]


OWN = """
import os, subprocess
from pgjobs.worker.runtime.process_exit import reap_orphans
own = subprocess.Popen(["sh", "-c", "exit 3"])
os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT)
reap_orphans({own.pid})
raise SystemExit(own.wait())
"""


def test_process_1_does_not_wait_for_its_workers_in_place_of_who_does() -> None:
    assert subprocess.run([sys.executable, "-c", OWN], env=environment(), timeout=60, check=False).returncode == 3


@pytest.mark.parametrize(
    "left",
    [
        *("atexit.register(time.sleep, 60)", "atexit.register(sys.exit, 3)", "1 / 0"),
        "threading.Thread(target=time.sleep, args=(60,)).start()",
    ],
)
def test_what_is_left_at_the_end_has_limited_time_and_changes_no_exit_code(left: str) -> None:
    script = f"{IN_ORDER}import atexit, sys, threading, time\ntry: {left}\nfinally: end.leave_in_order(7)"
    done = subprocess.run([sys.executable, "-c", script], env=environment(), timeout=40, check=False)
    assert done.returncode == 7


def test_a_line_that_a_thread_has_begun_is_written_at_the_end() -> None:
    script = (
        f"{IN_ORDER}import threading\nfrom pgjobs.worker.runtime.job_output import print_whole_lines\n"
        "print_whole_lines()\nthread = threading.Thread(target=print, args=('begun',), kwargs={'end': ''})\n"
        "thread.start()\nthread.join()\nend.leave_in_order(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), timeout=40, check=True, capture_output=True, text=True
    )
    assert done.stdout == "begun"


def test_a_worker_that_is_still_importing_stops_at_once(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(
        "import pathlib, time\npathlib.Path(__file__ + '.seen').touch()\ntime.sleep(60)\n"
    )
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with work(database_url, "--import", "heavy", env=path, ready=False) as running:
        wait_until((tmp_path / "heavy.py.seen").exists)
        assert running.stop(20) == 0  # and not after the grace of 30 s
        assert running.remains() == []
