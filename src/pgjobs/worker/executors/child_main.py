"""The child process's side: `python -m pgjobs.worker.executors.child_main FD CRASH_REPORT_FD PARENT`.

It runs one job at a time, and answers with the outcome. When its worker closes the connection it ends in order; when
its worker dies, it dies too.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from importlib import import_module

from pgjobs.core.config import configure
from pgjobs.core.errors import HookError, PayloadError
from pgjobs.core.processes import die_with_parent
from pgjobs.core.python_processes import add_folder
from pgjobs.core.standard_files import open_standard_files
from pgjobs.core.text import one_line
from pgjobs.effects import serve_reports
from pgjobs.hooks.lifetime import run_start_hooks
from pgjobs.jobs.outcome import Outcome
from pgjobs.worker.executors.awaiting import KeptLoop, Rest
from pgjobs.worker.executors.child_process import READY, late, receive, send
from pgjobs.worker.executors.invoke import await_here, call_now, open_payload, outcome_of, refused
from pgjobs.worker.executors.outcome_codec import to_bytes
from pgjobs.worker.executors.shortages import NOT_YET, is_shortage
from pgjobs.worker.local.claimed_batch import received
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.job_output import finish_lines, print_whole_lines
from pgjobs.worker.runtime.orderly_exit import leave_in_order
from pgjobs.worker.runtime.process_exit import write_crash_report_to
from pgjobs.worker.runtime.process_guard import (
    FILES_CLOSED,
    handle_signals,
    intact,
    keep_signals,
    remember,
    stop_signals,
    unused_signals,
)
from pgjobs.worker.runtime.recycling import limit_memory
from pgjobs.workflows.serve import serve_steps


def main(fd: int, crash_report_fd: int, parent: int) -> None:
    """Serve jobs until the worker closes the connection."""
    die_with_parent(parent)
    write_crash_report_to(crash_report_fd)
    print_whole_lines()
    # The supervisor decides when to stop, also when a signal goes to every process.
    handle_signals({number: lambda *_: None for number in (*stop_signals(), *unused_signals())})
    undo_signals = keep_signals()
    remember(fd, crash_report_fd)
    channel = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    try:
        child_config = pickle.loads(receive(channel))
        configure(**child_config["settings"])
        serve_reports()
        serve_steps()
        from pgjobs.telemetry.logs import configure_logging

        configure_logging(child_config["log_level"], child_config["log_format"])
        for module in child_config["imports"]:
            with suppress(BaseException):  # the worker has imported it, or complained; a job that needs it will too
                import_module(module)
        if child_config["memory"] is not None:
            limit_memory(child_config["memory"])
        try:
            run_start_hooks()
        except HookError as error:
            send(channel, one_line(str(error)).encode())
            leave_in_order(1)
        send(channel, READY)
        loop = KeptLoop()
        while True:
            loop.serve(fd)
            job = received(pickle.loads(receive(channel)))
            _run(job, loop, partial(_send_outcome, channel, job), undo_signals)
    except (EOFError, ConnectionError):
        leave_in_order(0)


def _send_outcome(channel: socket.socket, job: ClaimedJob, outcome: Outcome) -> None:
    send(channel, to_bytes(outcome, completing=job.completing, releases=job.releases))


def _run(job: ClaimedJob, loop: KeptLoop, answer: Callable[[Outcome], None], undo_signals: Callable[[], None]) -> None:
    """Run the job, and answer with its outcome; if it has a timeout, first with the outcome of running too long."""
    me = os.getpid()
    try:
        call = open_payload(job)
    except PayloadError as error:
        outcome = NOT_YET if is_shortage(error.__cause__) else refused(job, error)
        if job.timeout is not None:
            answer(outcome)
    else:
        if job.timeout is not None:
            answer(outcome_of(job, late(job), call.callable))
        context = Context()
        try:
            done = context.run(call_now, job, call)
            # Without a time limit: the worker has the clock.
            outcome = context.run(await_here, job, done, loop, None) if isinstance(done, Rest) else done
        except BaseException as error:
            outcome = outcome_of(job, error)
    if os.getpid() != me:
        os._exit(0)  # the job forked, and its child came back to us
    undo_signals()  # the next job runs here too
    if not intact():
        os._exit(FILES_CLOSED)
    finish_lines(job)
    with suppress(BaseException):  # the job may have replaced it, and closed it
        sys.stdout.flush()
    job.exception = None  # it keeps all variables of the job alive
    answer(outcome)


if __name__ == "__main__":
    open_standard_files()
    add_folder()
    main(*map(int, sys.argv[1:]))
