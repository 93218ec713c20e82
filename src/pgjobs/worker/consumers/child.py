"""The child process's side: `python -m pgjobs.worker.consumers.child FD PARENT`.

It takes a job, runs it as its only work, and answers with the outcome. It dies with its worker.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module

from pgjobs.context import CurrentJob
from pgjobs.errors import PayloadError
from pgjobs.outcome import Outcome
from pgjobs.payload import load
from pgjobs.settings import configure
from pgjobs.worker.consumers.invoke import call_now, outcome_of, refused
from pgjobs.worker.consumers.processes import receive, send
from pgjobs.worker.death import die_with_parent


def main(fd: int, parent: int) -> None:
    """Serve jobs until the worker closes the connection."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's business
    channel = socket.socket(fileno=fd)
    os.set_inheritable(fd, False)
    try:
        hello = pickle.loads(receive(channel))
        configure(**hello["settings"])
        from pgjobs.logs import configure_logging

        configure_logging(hello["log_level"], hello["log_format"])
        for module in hello["imports"]:
            with suppress(BaseException):  # the worker has imported it, or complained; a job that needs it will too
                import_module(module)
        send(channel, b"ready")
        while True:
            job = _job(pickle.loads(receive(channel)))
            send(channel, pickle.dumps(_run(job)))
    except (EOFError, ConnectionError):
        pass


def _job(values: dict[str, object]) -> CurrentJob:
    job = CurrentJob.__new__(CurrentJob)
    for name, value in values.items():
        setattr(job, name, value)
    return job


def _run(job: CurrentJob) -> Outcome:
    me = os.getpid()
    try:
        try:
            call = load(job.payload)
        except PayloadError as error:
            return refused(job, error)
        outcome = call_now(job, call)
    except BaseException as error:
        outcome = outcome_of(job, error)
    if os.getpid() != me:
        os._exit(0)  # the job forked, and its child came back to us
    sys.stdout.flush()
    return outcome


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
