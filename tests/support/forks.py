"""Programs in processes that begin where the imports end: most of what a short program costs is importing.

A process that has imported what they need, and done nothing else, forks for each of them. So a program sees no
settings, jobs or connections of another one.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Program = Callable[[list[str]], object]  # returns its exit code; None: 0


class Done(NamedTuple):
    """How a program ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def ask(asked: int, answers: IO[str], arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> Done:
    """Have the process that serves the other ends of these pipes run its program."""
    with tempfile.TemporaryDirectory() as folder:
        request = {"arguments": list(arguments), "env": dict(env), "cwd": str(cwd), "folder": folder}
        os.write(asked, json.dumps(request).encode() + b"\n")
        code = int(answers.readline())
        stdout, stderr = ((Path(folder) / name).read_text("utf-8") for name in ("stdout", "stderr"))
    return Done(code, stdout, stderr)


def serve(asked: IO[str], answer: int, program: Program) -> NoReturn:
    """Run the program for each request, until the other end is closed."""
    for line in asked:
        pid = os.fork()
        if pid == 0:
            _run(program, **json.loads(line))
        _, status = os.waitpid(pid, 0)
        os.write(answer, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run(program: Program, arguments: list[str], env: dict[str, str], cwd: str, folder: str) -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for fd, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT, 0o600), fd)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    code: object = 1
    try:
        code = program(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
