"""What a terminal of 80 columns shows: the command runs on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from pgjobs.cli.jobs import COLUMNS as COLUMNS_OF_JOBS
from pgjobs.cli.terminal import columns_in_table, rich_table
from tests.support.rows import count, put_dead, put_job, put_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

COLUMNS = 80
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture
def terminal(environment: dict[str, str], database_url: str) -> Callable[..., tuple[int, str]]:
    environment.update({"PGJOBS_DATABASE_URL": database_url, "TERM": "xterm-256color"})
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR"):
        environment.pop(name, None)

    def run(*arguments: object, answer: str = "") -> tuple[int, str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        command = [sys.executable, "-m", "pgjobs", *map(str, arguments)]
        with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            os.write(ours, answer.encode())
            seen = b""
            try:
                while part := os.read(ours, 4096):
                    seen += part
            except OSError:  # the other end is closed
                pass
            os.close(ours)
            return process.wait(60), seen.decode().replace("\r\n", "\n")

    return run


def fill(conn: Connection) -> None:
    long = {"queue": "a-queue-with-a-long-name", "summary": f"send_receipt({'x' * 150})", "error": f"E: {'y' * 300}"}
    put_dead(conn, **long)
    put_job(conn, status="running", worker_id=1, **long)
    put_worker(conn, {"mail": 20, "default": 4, "a-queue-with-a-long-name": 100})


@pytest.mark.parametrize("arguments", [["jobs", "list"], ["dead", "list"], ["status"], ["queues", "list"]])
def test_tables_fit_a_terminal_of_80_columns(
    terminal: Callable[..., tuple[int, str]], conn: Connection, arguments: list[str]
) -> None:
    fill(conn)
    code, seen = terminal(*arguments)
    assert code == 0
    lines = SEQUENCE.sub("", seen).splitlines()
    assert max(len(line) for line in lines) <= COLUMNS
    if "list" in arguments and "queues" not in arguments:
        assert "send_rec" in seen
        assert f"E: {'y' * 50}" in seen, "an error has a line of its own where it would be cut to nothing"


def test_narrow_table_keeps_ids_and_puts_the_rest_below_its_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = f"ValueError: {'y' * 100}"
    rows = [
        ["300123", "completed", "default", "1/5", "5m ago", "send(42)", ""],
        ["300124", "failed", "default", "5/5", "2h ago", f"send([red]{'x' * 100})", error],
    ]
    seen = {}
    for width in (200, 80, 50, 30):
        monkeypatch.setenv("COLUMNS", str(width))
        rich_table(COLUMNS_OF_JOBS, rows)
        seen[width] = capsys.readouterr().out.splitlines()
        assert max(map(len, seen[width])) <= width
        assert [line.split()[0] for line in seen[width] if line.startswith("3")] == ["300123", "300124"]
    assert (len(seen[200]), seen[200][2].count("y") > 50) == (3, True)
    assert seen[80][-1] == f"  {error[:77]}…"
    assert seen[80][-2].startswith("300124  failed     default  5/5  2h ago  send([red]xxx")
    assert [line.split()[0] for line in seen[50]] == [
        "ID",
        "300123",
        "send(42)",
        "300124",
        seen[50][4].split()[0],
        "ValueError:",
    ]
    assert seen[50][4].startswith("  send([red]xxx"), "what looks like markup is shown below its row, too"
    assert "  when 5m ago" in seen[30]
    assert columns_in_table(COLUMNS_OF_JOBS, [50] * len(COLUMNS_OF_JOBS), 20) == [0, 1]


def test_colours_are_for_terminals_and_can_be_switched_off(
    terminal: Callable[..., tuple[int, str]], environment: dict[str, str], conn: Connection
) -> None:
    fill(conn)
    assert COLOUR.search(terminal("jobs", "list")[1])
    environment["NO_COLOR"] = "1"
    assert not COLOUR.search(terminal("jobs", "list")[1])


def test_what_looks_like_markup_is_shown_as_it_is(terminal: Callable[..., tuple[int, str]], conn: Connection) -> None:
    put_job(conn, summary="f('[red]x[/red]')")
    assert "f('[red]x[/red]')" in terminal("jobs", "list")[1]


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 1)])
def test_discarding_all_asks_on_a_terminal(
    terminal: Callable[..., tuple[int, str]], conn: Connection, answer: str, left: int
) -> None:
    put_dead(conn)
    code, seen = terminal("dead", "discard", "--all", answer=answer)
    assert code == left
    assert "Discard 1 dead letter for good?" in seen
    assert ("nothing was done" in seen) == bool(left)
    assert "Traceback" not in seen
    assert count(conn, "dead_jobs") == left
