"""What goes wrong for a moment stops nothing that is healthy, and costs no job an attempt."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue
from pgjobs.worker.config import QueueSlots, WorkerConfig
from pgjobs.worker.executors.child_process import receive, send
from pgjobs.worker.executors.shortages import ShortageError, is_shortage
from pgjobs.worker.supervisor import supervisor
from pgjobs.worker.supervisor.run import run_supervisor
from pgjobs.worker.supervisor.supervisor import UnfitError
from tests.support import tasks
from tests.support.processes import children, environment, wait_until
from tests.support.rows import row_of
from tests.support.worker import drain, states, wait_done, wait_for, work

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

pytestmark = pytest.mark.in_turns(3)


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, str]:
    """An environment in which modules of this test's folder are found."""
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}


def test_a_log_that_nothing_reads_and_blocked_signals_stop_neither_jobs_nor_the_end(
    database_url: str, conn: psycopg.Connection
) -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    os.write(write, b"x" * 4096)
    job = enqueue(conn, tasks.fail_plainly).id  # its end is logged
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGCHLD])
    try:
        worker = subprocess.Popen(
            [sys.executable, "-m", "pgjobs", "work", "--database-url", database_url],
            env=environment(),
            stderr=write,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        wait_for(conn, f"(SELECT error IS NOT NULL FROM pgjobs.jobs WHERE id = {job})")
        (member,) = children(worker.pid)
        os.kill(member, signal.SIGTERM)
        wait_until(lambda: member not in children(worker.pid))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0
    finally:
        worker.kill()
        os.close(read)
        os.close(write)


def test_a_replacement_that_cannot_be_imported_ends_no_healthy_process(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, folder: dict[str, str]
) -> None:
    broken = tmp_path / "broken"
    (tmp_path / "flaky.py").write_text(f"import os\nif os.path.exists({str(broken)!r}): raise OSError('no answer')\n")
    with work(database_url, "-q", "default:1", "--processes", 2, "--import", "flaky", env=folder) as running:
        busy = enqueue(conn, tasks.nap, 2.5).id
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs_live WHERE status = 'running')")
        (keeper,) = conn.execute(
            "SELECT pid FROM pgjobs.workers WHERE id = (SELECT worker_id FROM pgjobs.jobs WHERE id = %s)", [busy]
        ).fetchone() or (0,)
        broken.touch()
        for member in running.members():
            if member != keeper:
                os.kill(member, signal.SIGKILL)
        wait_until(lambda: "cannot import flaky: OSError: no answer; a new one starts" in running.output)
        wait_done(conn, log=lambda: running.output)
        broken.unlink()
        wait_for(conn, "(SELECT count(*) FROM pgjobs.workers) = 2", log=lambda: running.output)
        assert keeper in running.members()
    assert (row_of(conn, busy)["status"], row_of(conn, busy)["attempt"]) == ("completed", 1)


def drain_in_vain(url: str, module: str) -> str:
    """Drain in this process, with a module that workers cannot have, and give the error that ends it with 1."""
    with pytest.raises(UnfitError) as ended:
        run_supervisor(WorkerConfig(url, queues=(QueueSlots("default", 1),), imports=(module,), drain=True))
    return str(ended.value)


def test_a_drain_whose_processes_all_die_ends_and_says_why(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, folder: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", folder["PYTHONPATH"])
    monkeypatch.setattr(supervisor, "MAX_IN_VAIN", 2)
    (tmp_path / "deadly.py").write_text("import os\nos._exit(3)\n")
    job = enqueue(conn, tasks.nothing).id
    said = drain_in_vain(database_url, "deadly")
    assert said.startswith("2 worker processes in a row ran no job; the last: worker process ")
    assert said.endswith("died: exit code 3")
    assert (row_of(conn, job)["status"], row_of(conn, job)["attempt"]) == ("queued", 0)


def test_jobs_that_cannot_begin_for_want_of_files_are_given_back_and_run_later(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url, "-q", "default:3") as running:
        (member,) = running.members()
        enqueue(conn, tasks.nothing)
        wait_done(conn)
        before = resource.prlimit(member, resource.RLIMIT_NOFILE)
        resource.prlimit(member, resource.RLIMIT_NOFILE, (3, before[1]))  # it has more than three: it gets none
        jobs = [
            enqueue(conn, tasks.nothing.options(executor="process", max_attempts=1)).id,
            enqueue(conn, tasks.nap_async, 0.0).id,
        ]
        wait_until(lambda: "without a counted attempt" in running.output)
        time.sleep(0.5)
        resource.prlimit(member, resource.RLIMIT_NOFILE, before)
        wait_done(conn, log=lambda: running.output)
    assert [(row_of(conn, job)["status"], row_of(conn, job)["attempt"]) for job in jobs] == [("completed", 1)] * 2


def test_a_shortage_is_what_the_system_may_give_a_moment_later() -> None:
    found = [
        is_shortage(error)
        for error in (
            OSError(24, "Too many open files"),
            BlockingIOError(11, "Resource temporarily unavailable"),
            RuntimeError("can't start new thread"),
            ShortageError("a child"),
            OSError(2, "No such file or directory"),
            RuntimeError("broken"),
            MemoryError(),
            None,
        )
    ]
    assert found == [True] * 4 + [False] * 4


def test_the_time_of_an_import_is_not_the_jobs_and_the_import_is_not_broken_off(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, folder: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_module.py").write_text(
        "import sys, time\n"
        "from pgjobs import job\n"
        "if 'pgjobs.worker.process' in sys.modules or 'pgjobs.worker.executors.child_main' in sys.orig_argv:\n"
        "    for _ in range(100): time.sleep(0.01)\n"
        "@job(timeout=0.5, max_attempts=1)\n"
        "def plain(): ...\n"
        "@job(timeout=0.5, max_attempts=1)\n"
        "async def on_loop(): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import slow_module  # type: ignore[import-not-found]  # made above

    for job in (slow_module.plain, slow_module.on_loop, slow_module.plain.options(executor="process")):
        enqueue(conn, job)
    drain(database_url, "-q", "default:3", env=folder)
    assert states(conn) == {"completed": 3}


def test_a_module_that_patches_the_standard_library_is_refused_in_one_line(
    database_url: str, tmp_path: Path, folder: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gevent.py").write_text(
        "import _thread\nreal = _thread.start_new_thread\n"
        "def patch_all(): _thread.start_new_thread = lambda *arguments: real(*arguments)\n"
    )
    (tmp_path / "web.py").write_text("import gevent\ngevent.patch_all()\n")
    monkeypatch.setenv("PYTHONPATH", folder["PYTHONPATH"])
    assert "web was imported, and gevent has patched the standard library" in drain_in_vain(database_url, "web")


def test_a_large_message_is_sent_however_slowly_it_is_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(theirs, b"ready")
        assert receive(ours, None, lambda: True) == b"ready"  # sets a time limit on the socket
        seen: list[bytes] = []

        def read_late() -> None:
            time.sleep(1.2)
            seen.append(receive(theirs))

        reader = threading.Thread(target=read_late)
        reader.start()
        send(ours, b"x" * 3_000_000, lambda: True)
        reader.join()
        assert len(seen[0]) == 3_000_000


def test_a_message_to_a_process_that_is_gone_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(BrokenPipeError):
        send(ours, b"x" * 3_000_000, lambda: False)
