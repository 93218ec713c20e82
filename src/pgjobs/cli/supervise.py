"""Replace the command line's process by the supervisor, without the command line's libraries.

They take about 10 MB, which a supervisor would hold for months and never use.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from pgjobs.core.python_processes import python_command
from pgjobs.core.standard_files import open_standard_files
from pgjobs.core.unnamed_file import unnamed_file

if TYPE_CHECKING:
    from pgjobs.worker.config import WorkerConfig


def become_supervisor(config: WorkerConfig) -> NoReturn:
    """Replace this process by `main` below. The configuration is passed in an unnamed file: it contains a password."""
    fd = unnamed_file()
    with os.fdopen(fd, "w", closefd=False) as file:  # `main` reads it
        file.write(config.to_json())
    os.lseek(fd, 0, os.SEEK_SET)
    os.set_inheritable(fd, True)
    debug = ["--debug"] if "--debug" in sys.argv else []
    queues = config.shown_queues()  # in the process list
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, python_command("pgjobs.cli.supervise", fd, "work", *queues, *debug))


def main(fd: int) -> int:
    """Run the supervisor and return its exit code."""
    # Imported here, so that the command line can import this module without the worker.
    from pgjobs.cli.failures import explain
    from pgjobs.telemetry.logs import configure_logging
    from pgjobs.worker.config import WorkerConfig
    from pgjobs.worker.supervisor.run import run_supervisor

    with os.fdopen(fd) as file:
        config = WorkerConfig.from_json(file.read())
    try:
        configure_logging(config.log_level, config.log_format)  # type: ignore[arg-type]  # checked by the command line
        return run_supervisor(config)
    except BaseException as error:
        return explain(error, debug="--debug" in sys.argv)


if __name__ == "__main__":
    open_standard_files()
    sys.exit(main(int(sys.argv[1])))
