"""A worker process, started by its supervisor.

Usage: `python -m pgjobs.worker FD REQUESTS_FD SCOREBOARD_FD CRASH_REPORT_FD`.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

from pgjobs.worker.config import WorkerConfig
from pgjobs.worker.process import WorkerProcess
from pgjobs.worker.runtime.control_channel import ControlChannel
from pgjobs.worker.runtime.job_output import finish_lines, print_whole_lines
from pgjobs.worker.runtime.process_exit import write_crash_report_to
from pgjobs.worker.runtime.process_guard import remember
from pgjobs.worker.runtime.scoreboard import Scoreboard


def main(fd: int, requests_fd: int, scoreboard_fd: int, crash_report_fd: int) -> None:
    """Take the configuration from the control channel, and work."""
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
    finish_lines(None)
    with suppress(BaseException):  # a job may have closed it
        sys.stdout.flush()
    os._exit(code)  # threads of jobs that do not end must not hold up the exit


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
