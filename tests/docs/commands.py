"""`pgjobs …` in processes that are forked. Their parent is made before the examples of a document run."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.forks import Done, ask, serve

if TYPE_CHECKING:
    from collections.abc import Sequence

# They start servers, or other programs that stay, and handle signals: as a program of its own, or not at all.
UNFIT = {"work", "dev", "demo", "db"}
MODULES = (
    "pgjobs.cli.main",
    "pgjobs.admin",
    "pgjobs.diagnose.why",
    "pgjobs.cli.jobs",
    "pgjobs.cli.work",
    "pgjobs.telemetry.logs",
    "pgjobs.worker.supervisor.run",
    "psycopg",
    "sqlalchemy",
)


def import_all() -> None:
    """Import what commands need."""
    for module in MODULES:
        import_module(module)


def can_be_forked(arguments: Sequence[str]) -> bool:
    """Return True for a command that ends by itself and leaves nothing running."""
    return not UNFIT & {*arguments} or "--drain" in arguments


class Commands:
    """The process that forks. It ends with its pipe."""

    def __init__(self) -> None:
        asked, self._ask = os.pipe()
        self._answered, answer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._ask)
            os.close(self._answered)
            import_all()
            serve(os.fdopen(asked), answer, _pgjobs)
        os.close(asked)
        os.close(answer)
        self._answers = os.fdopen(self._answered)

    def run(self, arguments: Sequence[str]) -> Done:
        """Run `pgjobs` with these arguments, in the current folder and environment."""
        return ask(self._ask, self._answers, arguments, os.environ, Path.cwd())


def _pgjobs(arguments: list[str]) -> int:
    from pgjobs.cli.main import main

    sys.argv = ["pgjobs", *arguments]
    return main()
