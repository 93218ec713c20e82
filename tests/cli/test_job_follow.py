"""`pgjobs jobs follow`, and what `jobs show` says of progress."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.cli import job_follow
from pgjobs.cli.job_follow import ERASE, bar_of, look_text
from pgjobs.job_results.looks import Look
from pgjobs.job_results.looks import Progress as Said
from tests.support.rows import put_dead, put_job, put_worker

if TYPE_CHECKING:
    from psycopg import Connection

    from tests.cli.conftest import Cli

STATE = '{"page": 40}'


def say(conn: Connection, job: int, done: float, message: str) -> None:
    conn.execute(
        "INSERT INTO pgjobs.progress VALUES (%s, %s, 100, %s, %s, now()) ON CONFLICT (job_id) DO UPDATE"
        " SET done = excluded.done, message = excluded.message, updated_at = excluded.updated_at",
        [job, done, message, STATE],
    )


def keep(conn: Connection, job: int, value: str, *, is_json: bool = True) -> None:
    conn.execute(
        "INSERT INTO pgjobs.results (job_id, kept_until, is_json, value) VALUES (%s, 'infinity', %s, %s)",
        [job, is_json, value.encode()],
    )


def test_how_a_job_has_ended_is_said_and_is_the_exit_code(cli: Cli, conn: Connection) -> None:
    ended = put_job(conn, status="completed")
    keep(conn, ended, '{"pages": 7}')
    say(conn, ended, 100, "all pages")
    pickled = put_job(conn, status="completed")
    keep(conn, pickled, "x", is_json=False)
    plain, failed = put_job(conn, status="completed"), put_dead(conn)
    cancelled = put_job(conn, status="cancelled", error="not needed")
    expected = {
        ended: (0, f'job {ended}: ended; 100 of 100 (100%): all pages\njob {ended} has completed: {{"pages": 7}}\n'),
        pickled: (0, f"job {pickled} has completed: a pickle of 1 bytes\n"),
        plain: (0, f"job {plain} has completed\n"),
        failed: (1, f"job {failed} has failed: ValueError: no\n"),
        cancelled: (1, f"job {cancelled} was cancelled: not needed\n"),
    }
    for job, (code, out) in expected.items():
        result = cli("jobs", "follow", job)
        assert (result.code, result.out, result.err) == (code, out, "")
    missing = cli("jobs", "follow", 4711)
    assert (missing.code, missing.out) == (1, "")
    assert "there is no job 4711" in missing.err


@pytest.mark.parametrize("as_json", [False, True])
def test_each_change_is_a_line_where_there_is_no_terminal(
    cli: Cli, conn: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.setattr(job_follow, "EVERY", 0.02)
    worker, job = put_worker(conn, {"default": 1}), put_job(conn)
    shown: list[Look] = []
    monkeypatch.setattr(job_follow._Line, "show", _noted(job_follow._Line.show, shown))
    monkeypatch.setattr(job_follow, "_print_json", _noted_function(job_follow._print_json, shown))

    def live() -> None:
        with psycopg.connect(database_url, autocommit=True) as other:
            for number, change in enumerate(
                (
                    f"status = 'running', worker_id = {worker}, attempt = 1",
                    "status = 'queued', worker_id = NULL, run_at = now() + interval '1 minute', error = 'E: once'",
                    f"status = 'running', worker_id = {worker}, attempt = 2",
                )
            ):
                _until(shown, number + 1)
                other.execute(f"UPDATE pgjobs.jobs SET {change} WHERE id = {job}")
            _until(shown, 4)
            say(other, job, 100, "page 100")
            _until(shown, 5)
            with other.transaction():
                other.execute("DELETE FROM pgjobs.jobs_live")
                keep(other, job, "7")

    thread = threading.Thread(target=live)
    thread.start()
    result = cli("jobs", "follow", job, *(["--json"] if as_json else []))
    thread.join()
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    if as_json:
        found = [json.loads(line) for line in lines]
        assert [(each["status"], each["attempt"]) for each in found] == [
            ("queued", 0),
            ("running", 1),
            ("queued", 1),
            ("running", 2),
            ("running", 2),
            (None, 2),
            ("completed", 2),
        ]
        assert found[2]["error"] == "E: once"
        said = {"done": 100.0, "total": 100.0, "message": "page 100", "state": {"page": 40}}
        assert found[4] == {"id": job, "status": "running", "attempt": 2, **said}
        assert found[-1]["result"] == 7
    else:
        assert lines == [
            f"job {job}: queued",
            f"job {job}: running, attempt 1 of 5",
            lines[2],
            f"job {job}: running, attempt 2 of 5",
            f"job {job}: running, attempt 2 of 5; 100 of 100 (100%): page 100",
            f"job {job}: ended; 100 of 100 (100%): page 100",
            f"job {job} has completed: 7",
        ]
        assert lines[2].startswith(f"job {job}: queued, due in ")
        assert lines[2].endswith(", attempt 1 of 5, E: once")


def _noted(method: object, shown: list[Look]) -> object:
    def show(self: object, look: Look) -> None:
        method(self, look)  # type: ignore[operator]
        shown.append(look)

    return show


def _noted_function(function: object, shown: list[Look]) -> object:
    def show(look: Look) -> None:
        function(look)  # type: ignore[operator]
        shown.append(look)

    return show


def _until(shown: list[Look], number: int) -> None:
    deadline = time.monotonic() + 15
    while len(shown) < number:
        assert time.monotonic() < deadline, shown
        time.sleep(0.01)


def test_a_terminal_has_one_line_that_changes_and_ctrl_c_leaves_quietly(
    conn: Connection, database_url: str, environment: dict[str, str]
) -> None:
    job = put_job(conn)
    say(conn, job, 40, "\x1b[31mpage 40 " + "x" * 300)
    ours, theirs = pty.openpty()
    environment |= {"PGJOBS_DATABASE_URL": database_url, "COLUMNS": "80", "LINES": "24"}
    command = [sys.executable, "-m", "pgjobs", "jobs", "follow", str(job)]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while b"page 40" not in seen:
            seen += os.read(ours, 4096)
        say(conn, job, 60, "page 60")
        while b"page 60" not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        assert process.wait(30) == 130
    first, second = seen.decode().split(ERASE)[1:]
    assert first.startswith(f"[########............] job {job}: queued; 40 of 100 (40%): \\x1b[31mpage 40 xxx")
    assert len(first) == 79
    assert second == f"[############........] job {job}: queued; 60 of 100 (60%): page 60\r\n"


def test_a_bar_is_drawn_only_of_what_is_known() -> None:
    def look(done: float | None, total: float | None) -> Look:
        from datetime import UTC, datetime

        return Look(7, "running", 1, 5, None, None, Said(done, total, None, None, datetime.now(UTC)), 0.0)

    assert [bar_of(look(*given)).count("#") for given in ((0, 10), (5, 10), (11, 10), (-1, 10))] == [0, 10, 20, 0]
    assert [bar_of(look(*given)) for given in ((None, 10), (5, None), (5, 0), (5, -1))] == [""] * 4
    assert bar_of(Look(7, "queued", 0, 5, None, None, None, None)) == ""
    assert look_text(look(5, None)) == "job 7: running, attempt 1 of 5; 5"


def test_show_has_progress_and_state(cli: Cli, conn: Connection) -> None:
    job, quiet = put_job(conn), put_job(conn)
    say(conn, job, 40, "page 40")
    out = cli("jobs", "show", job).out
    assert "progress  40 of 100 (40%): page 40 (at 20" in out
    assert f"state     {STATE}" in out
    shown = json.loads(cli("jobs", "show", job, "--json").out)["progress"]
    assert (shown["done"], shown["state"]) == (40, {"page": 40})
    assert json.loads(cli("jobs", "show", quiet, "--json").out)["progress"] is None
    assert "progress" not in cli("jobs", "show", quiet).out
