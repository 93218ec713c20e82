"""A real `pgjobs work` for tests that need one: it sees what was committed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence


class RealWorker:
    """Runs `pgjobs work --drain` on a database of the test. It takes a second or more each time."""

    def __init__(self, url: str) -> None:
        self.url = url
        """The libpq URL of the database."""

    def drain(self, *queues: str, imports: Sequence[str] = (), seconds: float = 60.0) -> str:
        """Run what is due, in these queues or in all, in processes of their own; return what they have logged.

        Args:
            queues: as for `-q`, such as "mail" or "mail:20"; none: all.
            imports: modules, as for `--import`.
            seconds: the most that it may take.

        Raises:
            AssertionError: it did not end well, or not in time.

        """
        options = [option for queue in queues or ("*",) for option in ("-q", queue)]
        options += [option for module in imports for option in ("--import", module)]
        path = os.pathsep.join(filter(None, [*sys.path, os.environ.get("PYTHONPATH")]))
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pgjobs", "work", "--drain", *options],
                env={**os.environ, "PYTHONPATH": path, "PGJOBS_DATABASE_URL": self.url},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"pgjobs work --drain has not ended after {seconds:g} s:\n{error.output}") from error
        if done.returncode:
            raise AssertionError(f"pgjobs work --drain ended with {done.returncode}:\n{done.stdout}")
        return done.stdout
