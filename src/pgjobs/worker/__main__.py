"""A worker process, started by its supervisor.

Usage: `python -m pgjobs.worker FD REQUESTS_FD SCOREBOARD_FD CRASH_REPORT_FD`.
"""

from __future__ import annotations

import os
import socket
import sys

from pgjobs.core.python_processes import add_folder
from pgjobs.core.standard_files import open_standard_files
from pgjobs.worker.config import WorkerConfig
from pgjobs.worker.process import WorkerProcess
from pgjobs.worker.runtime.control_channel import ControlChannel
from pgjobs.worker.runtime.job_output import print_whole_lines
from pgjobs.worker.runtime.orderly_exit import leave_in_order
from pgjobs.worker.runtime.process_exit import write_crash_report_to
from pgjobs.worker.runtime.process_guard import remember
from pgjobs.worker.runtime.scoreboard import Scoreboard


def main(fd: int, requests_fd: int, scoreboard_fd: int, crash_report_fd: int) -> None:
    """Take the configuration from the control channel, and work."""
    supervisor = os.getppid()
    for inherited in (fd, requests_fd, scoreboard_fd):
        os.set_inheritable(inherited, False)
    write_crash_report_to(crash_report_fd)
    print_whole_lines()
    remember(fd, requests_fd, scoreboard_fd, crash_report_fd)
    control = ControlChannel(socket.socket(fileno=fd))
    messages = control.receive(None)
    while not messages and not control.ended:  # a long message comes in parts
        messages = control.receive(None)
    if not messages:
        return
    first, *others = messages  # a request to drain may have arrived together with it
    config = WorkerConfig.from_json(first["config"])
    scoreboard = Scoreboard(config.slots(), scoreboard_fd)
    requests = socket.socket(fileno=requests_fd)
    code = WorkerProcess(config, control, requests, scoreboard, others).run()
    # A supervisor that is there ends what the jobs started.
    leave_in_order(code, with_group=lambda: control.ended or os.getppid() != supervisor)


if __name__ == "__main__":
    open_standard_files()
    add_folder()
    main(*map(int, sys.argv[1:]))
