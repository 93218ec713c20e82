"""What `pgjobs work` hands to the supervisor that it becomes, without an interpreter that starts for it.

The command line's process reads the arguments, and replaces itself. That takes a fifth of what a worker costs until it
has started, and hundreds of tests start one: so a process that has imported the command line forks for each. Tests of
the command line itself start it as a user does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pgjobs.core.unnamed_file import unnamed_file
from tests.support.forks import ask, serve
from tests.support.processes import environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUPERVISOR = "pgjobs.cli.supervise"
# Of the interpreter's own variables, those that change nothing of what a command line says to its supervisor.
HARMLESS = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
MODULES = ("pgjobs.cli.main", "pgjobs.cli.work", "pgjobs.cli.pyproject", "pgjobs.worker.supervisor.run")
STAYS = 99  # the exit code where the process would not replace itself


def handed_over(arguments: Sequence[str], env: Mapping[str, str]) -> tuple[list[str], int] | None:
    """Return the supervisor's command and the file that it reads; None: only `pgjobs work` itself can tell."""
    if {"--drain", "--embedded"} & {*arguments}:  # it stays
        return None
    if any(name.startswith("PYTHON") and name not in HARMLESS for name in env):
        return None  # it may change how the command line's process runs
    parent = _parent()
    assert parent.stdin is not None
    assert parent.stdout is not None
    done = ask(parent.stdin.fileno(), parent.stdout, arguments, env, Path.cwd())
    if done.returncode != 0 or not done.stdout.startswith("["):
        return None
    command, config = json.loads(done.stdout)
    fd = unnamed_file()
    os.write(fd, config.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    command[command.index(SUPERVISOR) + 1] = str(fd)
    return command, fd


@cache
def _parent() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.front"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())


def end() -> None:
    """End the process that forks, at the end of a run of tests."""
    if _parent.cache_info().currsize:
        _parent().communicate()  # it ends with its pipe
        _parent.cache_clear()


def _hand_over(arguments: list[str]) -> int:
    def replaced(_: str, command: list[str]) -> NoReturn:
        config = os.pread(int(command[command.index(SUPERVISOR) + 1]), 1_000_000, 0).decode()
        sys.stdout.write(json.dumps([command, config]))
        sys.stdout.flush()
        os._exit(0)

    def not_replaced(*_: object, **__: object) -> NoReturn:
        os._exit(STAYS)

    vars(os)["execv"] = replaced
    vars(import_module("pgjobs.worker.supervisor.run"))["run_supervisor"] = not_replaced
    sys.argv = ["pgjobs", *arguments]
    main: Any = import_module("pgjobs.cli.main").main
    return int(main())


if __name__ == "__main__":
    for name in MODULES:
        import_module(name)
    with suppress(ImportError):
        import_module("pydantic")  # the command line's library may use it
    serve(sys.stdin, sys.stdout.fileno(), _hand_over)
