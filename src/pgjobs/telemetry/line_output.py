"""Writes log lines to a file without waiting for who reads it.

A pager that was left open, a log collector that hangs, a terminal on which someone typed Ctrl-S: the reader of stderr
stands still, and a write waits for it. A thread that acknowledges jobs, or answers SIGTERM, must not. So a line is
written at once where that is possible. Where it is not, one thread waits with the lines; too many of them are left out.

No lock is taken, because a timeout may be raised at any line in a job's thread: see `LineHandler`.
"""

from __future__ import annotations

import _thread
import logging
import os
import select
import stat
import time
from queue import Empty, SimpleQueue
from typing import TextIO

log = logging.getLogger("pgjobs.log")
MOST = 1_000  # lines that wait
PIECE = 4096  # bytes that a pipe takes at once if it takes any (PIPE_BUF)
LAST_LINES_WITHIN = 1.0  # seconds, when the process ends


class LineOutput:
    """The output of one handler. Any thread may write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._fd = _fd_that_may_stall(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._process = os.getpid()
        self._waiting: SimpleQueue[bytes] = SimpleQueue()
        self._behind = False
        self._left_out = 0

    def write(self, line: str) -> None:
        """Write a line, now or as soon as there is a reader.

        Raises:
            OSError | ValueError: the stream is gone.

        """
        if self._fd is None or os.getpid() != self._process:  # a forked child has no thread that waits
            self._stream.write(line)
            self._stream.flush()
            return
        data = line.encode(self._encoding, "backslashreplace")
        while data and not self._behind and _is_ready(self._fd):
            data = data[os.write(self._fd, data[:PIECE]) :]
        if not data:
            return
        if self._waiting.qsize() >= MOST:
            self._left_out += 1
            return
        self._waiting.put(data)
        if not self._behind:
            _thread.start_new_thread(self._catch_up, ())

    def _catch_up(self) -> None:
        """Write what waits. Runs in a thread of its own, which ends when nothing is left."""
        if self._behind:
            return  # another thread was faster
        self._behind = True
        while self._behind:
            try:
                self._write_and_wait(self._waiting.get_nowait())
            except Empty:
                self._behind = False
                if self._waiting.qsize():  # it came between these two steps
                    self._behind = True
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            log.warning("%d log lines were left out, because the reader of this log stood still", left_out)

    def _write_and_wait(self, data: bytes) -> None:
        assert self._fd is not None  # noqa: S101 (for mypy)
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            pass  # it is gone, and the line with it

    def finish(self) -> None:
        """Wait a moment for the lines that wait for their reader."""
        deadline = time.monotonic() + LAST_LINES_WITHIN
        while self._behind and time.monotonic() < deadline:
            time.sleep(0.01)


def _fd_that_may_stall(stream: TextIO) -> int | None:
    try:
        fd = stream.fileno()
        mode = os.fstat(fd).st_mode
    except (OSError, ValueError, AttributeError):
        return None
    is_terminal = stat.S_ISCHR(mode) and os.isatty(fd)
    return fd if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or is_terminal else None


def _is_ready(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))  # also if the other end is gone: then the write says so
