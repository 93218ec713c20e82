"""Runs the examples of one document, in its order: `python -m tests.docs.document FILE`.

With `--serve` instead of a file it is asked for documents through a pipe (`support.forks.ask`).

| block | what happens |
| --- | --- |
| ```` ```python ```` with `# shop/tasks.py` as its first line | written to that file, and imported |
| any other ```` ```python ```` | run in the document's own namespace; `await` works |
| ```` ```sql ```` | run; a ```` ```text ```` block right after it must have the columns that PostgreSQL gave |
| ```` ```console ```` | `$ pgjobs …`, `$ python …`: run, exit with 0; a ```` ```text ```` right after it is printed |

All share the current folder and PGJOBS_DATABASE_URL. `<!-- not run: REASON -->` before a block keeps it from being run.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

import psycopg

from pgjobs.db.url import libpq_url
from tests.docs.commands import Commands, can_be_forked, import_all
from tests.support.forks import Done, serve

FENCE = re.compile(r"^```(\w*)$")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
FILE = re.compile(r"# (\S+\.py)\b")
RUN = {"python", "sql", "console"}
PROGRAMS = {
    "pgjobs": [sys.executable, "-m", "pgjobs"],
    "python": [sys.executable],
}


@dataclass(frozen=True)
class Block:
    """A fenced block. `line`: where it begins. `not_run`: why it is not run. `before`: the block right before it."""

    language: str
    text: str
    line: int
    not_run: str | None
    before: Block | None


def blocks(markdown: str) -> Iterator[Block]:
    """Find the fenced blocks of a document."""
    lines = enumerate(markdown.splitlines(), 1)
    not_run: str | None = None
    before: Block | None = None
    for number, line in lines:
        if match := NOT_RUN.fullmatch(line.strip()):
            not_run = match[1]
        elif match := FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner)
            before = Block(match[1], "\n".join(body), number, not_run, before)
            yield before
            not_run = None
        elif line.strip():
            before = not_run = None


class Runner:
    """The namespace, the columns of the last SQL, and what the last commands printed."""

    def __init__(self) -> None:
        self.commands = Commands()
        self.module = ModuleType("document")
        sys.modules["document"] = self.module  # so that what is defined in it can be pickled by name
        self.columns: list[str] = []
        self.printed = ""

    def run(self, block: Block) -> None:
        """Run a block, or check the output that it shows."""
        shown_for = block.before.language if block.before is not None and block.before.not_run is None else None
        if block.language == "text" and shown_for == "sql":
            self._check_columns(block)
        elif block.language == "text" and shown_for == "console":
            assert _stripped(block.text) in _stripped(self.printed), f"the commands print {self.printed}"
        elif block.not_run is None and block.language in RUN:
            getattr(self, f"_{block.language}")(block)

    def _python(self, block: Block) -> None:
        file = FILE.match(block.text)
        if file:
            path = Path(file[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text + "\n")
            name = file[1].removesuffix(".py").replace("/", ".")
            sys.modules.pop(name, None)
            import_module(name)
            return
        code = compile("\n" * block.line + block.text, "document", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(FunctionType(code, self.module.__dict__)())
        else:
            exec(code, self.module.__dict__)  # noqa: S102 (it is our own documentation)

    def _sql(self, block: Block) -> None:
        with psycopg.connect(libpq_url(os.environ["PGJOBS_DATABASE_URL"])) as conn:
            cursor = conn.execute(block.text.encode())
            self.columns = [column.name for column in cursor.description or ()]

    def _console(self, block: Block) -> None:
        self.printed = ""
        for line in block.text.splitlines():
            if not line.startswith("$ "):
                continue
            words = shlex.split(line[2:], comments=True)
            assert words[0] in PROGRAMS, f"line {block.line}: {line!r} is not run; say why"
            done: Done | subprocess.CompletedProcess[str]
            if words[0] == "pgjobs" and can_be_forked(words[1:]):
                done = self.commands.run(words[1:])
            else:
                done = subprocess.run([*PROGRAMS[words[0]], *words[1:]], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            self.printed += done.stdout

    def _check_columns(self, block: Block) -> None:
        shown = [column.strip() for column in block.text.splitlines()[0].split("|")]
        assert shown == self.columns, f"the result shows {shown}, PostgreSQL gives {self.columns}"


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())


def main(path: Path) -> None:
    sys.path.insert(0, str(Path.cwd()))
    runner = Runner()
    for block in blocks(path.read_text()):
        try:
            runner.run(block)
        except Exception as error:
            error.add_note(f"in {path}, line {block.line}:\n{block.text}")
            raise


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        import_all()
        serve(sys.stdin, sys.stdout.fileno(), lambda arguments: main(Path(arguments[0])))
    main(Path(sys.argv[1]))
