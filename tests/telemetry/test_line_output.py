"""A log that nothing reads holds up neither who writes it nor the end of the process."""

from __future__ import annotations

import _thread
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pgjobs.telemetry.line_output import MOST, LineOutput
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    threads = _thread._count()
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(write, "w") as stream:
        yield read, stream
        os.close(read)
        # A thread that still writes would do so into the pipe of the next test, which gets the same number.
        wait_until(lambda: _thread._count() <= threads)


def read_all(fd: int, text: bytes = b"") -> list[str]:
    """Read until nothing has come for a moment. `text`: what was read before."""
    os.set_blocking(fd, False)
    last = time.monotonic()
    while time.monotonic() - last < 0.3:
        try:
            text += os.read(fd, 65536)
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    return text.decode().splitlines()


def test_lines_wait_in_their_order_for_a_reader_that_stands_still(pipe: tuple[int, TextIO]) -> None:
    fd, stream = pipe
    output = LineOutput(stream)
    lines = [f"{number} {'x' * 200}" for number in range(500)]
    text = b""
    for number, line in enumerate(lines):
        if number > 250 and number % 10 == 0:
            text += os.read(fd, 4096)  # then there is room, and the next line must not take it
        output.write(line + "\n")
    assert read_all(fd, text) == lines
    output.write("at once\n")
    assert read_all(fd) == ["at once"]


def test_too_many_lines_are_left_out_and_that_is_said(
    pipe: tuple[int, TextIO], caplog: pytest.LogCaptureFixture
) -> None:
    fd, stream = pipe
    output = LineOutput(stream)
    for number in range(MOST + 500):
        output.write(f"{number} {'x' * 200}\n")
    seen = read_all(fd)
    assert MOST < len(seen) < MOST + 100  # what the pipe holds came through as well
    left_out = MOST + 500 - len(seen)
    wait_until(lambda: caplog.messages)
    assert caplog.messages == [f"{left_out} log lines were left out, because the reader of this log stood still"]


def test_the_end_waits_a_moment_for_a_reader_and_not_forever(pipe: tuple[int, TextIO]) -> None:
    fd, stream = pipe
    output = LineOutput(stream)
    for _ in range(100):
        output.write("x" * 200 + "\n")
    began = time.monotonic()
    output.finish()
    assert time.monotonic() - began < 5
    assert threading.active_count() < 50

    def read_late() -> None:
        time.sleep(0.3)
        seen.extend(read_all(fd))

    seen: list[str] = []
    reader = threading.Thread(target=read_late)
    reader.start()
    output.finish()
    assert not output._behind
    reader.join()
    assert len(seen) == 100


def test_a_reader_that_is_gone_is_an_error_and_not_a_wait(pipe: tuple[int, TextIO]) -> None:
    fd, stream = pipe
    output = LineOutput(stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), fd)
    with pytest.raises(BrokenPipeError):
        output.write("x\n")
