"""Become the supervisor: the same process, started afresh without the command line's libraries.

They take a good 10 MB that a supervisor would hold for months and never use.
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pgjobs.worker.config import WorkerConfig

alone = False
"""Whether this process is the command and nothing else, so that it may be replaced; `cli.main` says so."""


def become_supervisor(config: WorkerConfig) -> NoReturn:
    """Replace this process, and go on in `main` below. The configuration goes through a file without a name."""
    # Not in the arguments, because it holds a password.
    file = tempfile.TemporaryFile("w+")  # noqa: SIM115 (it stays open until the other side has read it)
    file.write(config.to_json())
    file.seek(0)
    os.set_inheritable(file.fileno(), True)
    debug = ["--debug"] if "--debug" in sys.argv else []
    queues = [f"{queue.name}:{queue.concurrency}" for queue in config.queues]  # for whoever reads the process list
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(
        sys.executable, [sys.executable, "-m", "pgjobs.cli.supervise", str(file.fileno()), "work", *queues, *debug]
    )


def main(fd: int) -> int:
    """Run the supervisor, and give its exit code."""
    from pgjobs.cli.failures import explain
    from pgjobs.telemetry.logs import configure_logging
    from pgjobs.worker.config import WorkerConfig
    from pgjobs.worker.supervisor.supervisor import run_supervisor

    with os.fdopen(fd) as file:
        config = WorkerConfig.from_json(file.read())
    try:
        configure_logging(config.log_level, config.log_format)  # type: ignore[arg-type]  # the CLI has checked it
        return run_supervisor(config)
    except BaseException as error:
        return explain(error, debug="--debug" in sys.argv)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
