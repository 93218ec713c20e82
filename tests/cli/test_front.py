"""Tests start the supervisor that `pgjobs work` would become: it is the same one, with the same settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.front import SUPERVISOR, handed_over
from tests.support.processes import environment
from tests.support.worker import work

OPTIONS = ["-q", "mail:3", "-q", "bulk-*:2", "--import", "a.b,c", "--max-jobs", "7", "--grace", "2.5", "--debug"]
IN_ITS_OWN = """if True:
    import json, os, sys
    def replaced(_, command):
        fd = int(command[command.index("pgjobs.cli.supervise") + 1])
        print(json.dumps([command, os.pread(fd, 10**6, 0).decode()]))
        sys.stdout.flush()
        os._exit(0)
    os.execv = replaced
    from pgjobs.cli.main import main
    main()
"""


def test_the_supervisor_of_a_test_gets_what_a_command_line_of_its_own_hands_over() -> None:
    arguments = ["work", "--database-url", "postgresql://somewhere/x", *OPTIONS]
    env = environment() | {"PGJOBS_SCHEMA": "other", "PGJOBS_HEARTBEAT": "3", "PGJOBS_ALLOW": "a.*"}
    done = subprocess.run(
        [sys.executable, "-c", IN_ITS_OWN, *arguments], env=env, capture_output=True, text=True, check=True
    )
    expected, config = json.loads(done.stdout)

    handed = handed_over(arguments, env)

    assert handed is not None
    command, fd = handed
    with os.fdopen(fd) as file:
        assert json.loads(file.read()) == json.loads(config)
    for words in (command, expected):
        words[words.index(SUPERVISOR) + 1] = "FD"
    assert command == expected


@pytest.mark.parametrize("arguments", [["--grace", "soon"], ["--drain"], ["--help"]], ids=" ".join)
def test_what_hands_nothing_over_is_left_to_the_command_line(arguments: list[str], tmp_path: Path) -> None:
    env = environment() | {"PGJOBS_DATABASE_URL": "postgresql://127.0.0.1:1/x", "HOME": str(tmp_path)}

    assert handed_over(["work", *arguments], env) is None


def test_a_command_line_of_its_own_becomes_such_a_supervisor(database_url: str) -> None:
    with work(database_url, before=("env",)) as running, work(database_url) as other:
        words = [Path(f"/proc/{each.pid}/cmdline").read_text().split("\0") for each in (running, other)]
        for each in words:
            each[each.index(SUPERVISOR) + 1] = "FD"
        assert words[0] == words[1]
        assert running.stop() == other.stop() == 0
