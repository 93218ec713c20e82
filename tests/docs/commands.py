"""`pgjobs …` in processes that begin where the imports end: most of what a command costs is importing.

A process that has imported what commands need, and done nothing else, forks for each command. It is made before the
examples of a document run, so that a command sees no settings, jobs or connections of theirs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

# They start processes of their own, or servers, and handle signals: as a program of its own, or not at all.
UNFIT = {"work", "dev", "demo", "db"}
MODULES = ("pgjobs.cli.main", "pgjobs.admin", "pgjobs.diagnose.why", "pgjobs.cli.jobs", "psycopg", "sqlalchemy")


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class Commands:
    """The process that forks. It ends with its pipe."""

    def __init__(self) -> None:
        asked, self._ask = os.pipe()
        self._answered, answer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._ask)
            os.close(self._answered)
            _serve(asked, answer)
        os.close(asked)
        os.close(answer)
        self._answers = os.fdopen(self._answered)

    def run(self, arguments: Sequence[str]) -> Done:
        """Run `pgjobs` with these arguments, in the current folder and environment."""
        with tempfile.TemporaryDirectory() as folder:
            asked = {"arguments": list(arguments), "env": dict(os.environ), "cwd": str(Path.cwd()), "folder": folder}
            os.write(self._ask, json.dumps(asked).encode() + b"\n")
            code = int(self._answers.readline())
            stdout, stderr = ((Path(folder) / name).read_text("utf-8") for name in ("stdout", "stderr"))
        return Done(code, stdout, stderr)


def _serve(asked: int, answer: int) -> NoReturn:
    for module in MODULES:
        import_module(module)
    for line in os.fdopen(asked):
        pid = os.fork()
        if pid == 0:
            _run(**json.loads(line))
        _, status = os.waitpid(pid, 0)
        os.write(answer, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run(arguments: list[str], env: dict[str, str], cwd: str, folder: str) -> NoReturn:
    from pgjobs.cli.main import main

    for fd, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT, 0o600), fd)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["pgjobs", *arguments]
    code: object = 1
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
