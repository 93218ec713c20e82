"""How processes of Python are started, and by what they are not replaced."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue
from pgjobs.worker.runtime.process_exit import CrashReport
from pgjobs.worker.runtime.scoreboard import Scoreboard
from tests.support.processes import environment
from tests.support.rows import row_of
from tests.support.tasks_processes import show_interpreter

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

SHOW = "from pgjobs.core.python_processes import python_command; print(*python_command('a.b', 1)[1:])"
FLAGS = ["-O", "-W", "error::UserWarning", "-X", "no_debug_ranges"]


def run(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_process_gets_the_flags_of_its_parent(tmp_path: Path) -> None:
    shown = run(*FLAGS, "-c", SHOW, folder=tmp_path)
    assert " ".join(FLAGS[:1]) in shown
    assert "-Werror::UserWarning" in shown
    assert "-X no_debug_ranges" in shown
    assert shown.endswith("-P -X pgjobs_folder -m a.b 1")


def test_a_folder_that_was_kept_off_the_path_stays_off(tmp_path: Path) -> None:
    assert "pgjobs_folder" not in run("-P", "-c", SHOW, folder=tmp_path)


def test_a_module_of_the_project_takes_the_place_of_none_of_python_and_is_found(
    database_url: str, conn: psycopg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "queue.py").write_text("raise ImportError('of the project')\n")
    (tmp_path / "of_the_project.py").write_text("")
    jobs = [
        enqueue(conn, show_interpreter.options(executor=name), str(tmp_path), name) for name in ("thread", "process")
    ]
    (tmp_path / "start.py").write_text(
        f"import sys\nsys.path.remove({str(tmp_path)!r})\nfrom pgjobs.cli.main import main\n"
        f"sys.exit(main(['work', '--drain', '--database-url', {database_url!r}]))\n"
    )
    run("-O", "start.py", folder=tmp_path)
    assert [row_of(conn, job.id)["error"] for job in jobs] == [None, None]
    assert {(tmp_path / name).read_text() for name in ("thread", "process")} == {"optimize 1\n"}


@pytest.mark.parametrize("mark", ["frozen", "oxidized", "__compiled__"])
def test_a_frozen_application_is_refused_before_it_starts_itself(mark: str, tmp_path: Path) -> None:
    place = "sys.modules['__main__']" if mark == "__compiled__" else "sys"
    script = (
        f"import sys; setattr({place}, {mark!r}, True); from pgjobs.cli.main import main; "
        "sys.exit(main(['work', '--database-url', 'postgresql://nowhere.invalid/x']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "is a frozen application, and workers need a Python interpreter" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_shared_memory_and_crash_reports_need_no_folder_that_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with closing(Scoreboard(2)) as scoreboard, closing(CrashReport()) as report:
        scoreboard.add_group(12)
        assert scoreboard.groups() == [12]
        assert report.report(None) is None


def test_where_files_cannot_be_in_memory_they_are_in_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr("os.memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with closing(Scoreboard(1)) as scoreboard:
        assert scoreboard.started() == set()
