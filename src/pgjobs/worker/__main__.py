"""A worker process: `python -m pgjobs.worker FD REQUESTS_FD BOARD_FD BOX_FD`. Its supervisor starts it."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

from pgjobs.worker.config import WorkerConfig
from pgjobs.worker.process import WorkerProcess
from pgjobs.worker.runtime.control_channel import ControlChannel
from pgjobs.worker.runtime.process_exit import write_crash_report_to
from pgjobs.worker.runtime.process_guard import remember
from pgjobs.worker.runtime.scoreboard import Scoreboard


def main(fd: int, requests_fd: int, board_fd: int, box_fd: int) -> None:
    """Take the configuration from the line, and work."""
    for inherited in (fd, requests_fd, board_fd):
        os.set_inheritable(inherited, False)
    write_crash_report_to(box_fd)
    remember(fd, requests_fd, board_fd, box_fd)
    control = ControlChannel(socket.socket(fileno=fd))
    messages = control.receive(None)
    while not messages and not control.ended:  # a long line comes in parts
        messages = control.receive(None)
    if not messages:
        return
    first, *others = messages  # it may have been told to drain in the same breath
    config = WorkerConfig.from_json(first["config"])
    scoreboard = Scoreboard(sum(queue.concurrency for queue in config.queues), board_fd)
    requests = socket.socket(fileno=requests_fd)
    code = WorkerProcess(config, control, requests, scoreboard, others).run()
    with suppress(BaseException):  # a job may have closed it
        sys.stdout.flush()
    os._exit(code)  # threads of jobs that do not end must not hold up the exit


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
