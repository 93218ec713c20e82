"""What jobs print: each line is written as soon as it is complete, by one call, and never mixed with another job's.

Python holds back what is printed into a pipe or a file, so a crash would lose lines of jobs that had long completed.
And with PYTHONUNBUFFERED it writes a line and its end separately, so lines of jobs that run at once would be mixed.

Nothing here takes a lock: a timeout that is raised in a job's thread would leave it locked.
"""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING

from pgjobs.jobs.context import RunningJob, current

if TYPE_CHECKING:
    from typing_extensions import Buffer

LONGEST = 8192  # characters of a line that are held back until it is complete

# The lines that are not complete, by stream, job and thread. Executors look here when a job has ended.
unfinished: dict[tuple[JobOutput, RunningJob | None, int], str] = {}


class _Unbuffered(io.BufferedWriter):
    """Writes at once what it is given, for jobs that use `sys.stdout.buffer` too."""

    def write(self, data: Buffer, /) -> int:
        """Write all of it."""
        written = super().write(data)
        super().flush()
        return written


class JobOutput(io.TextIOWrapper):
    """A standard stream of a process that runs jobs. `flush` also writes the line that the caller has begun."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        file = io.FileIO(stream.fileno(), "wb", closefd=False)
        super().__init__(
            _Unbuffered(file), encoding=stream.encoding, errors=stream.errors, newline="\n", write_through=True
        )
        self.mode = "w"  # type: ignore[misc]  # Python sets it for its own streams, too

    def write(self, text: str, /) -> int:
        """Write the complete lines, and keep the rest until it is complete."""
        if not isinstance(text, str):
            return super().write(text)  # which refuses it
        key = (self, current.get(), get_ident())
        held = unfinished.pop(key, "") if unfinished else ""
        lines, end, rest = (held + text).rpartition("\n")
        if len(rest) > LONGEST:
            lines, end, rest = f"{lines}{end}{rest}", "", ""
        if rest:
            unfinished[key] = rest
        if lines or end:
            super().write(lines + end)
        return len(text)

    def flush(self) -> None:
        """Write what this job, or this thread, has begun."""
        if unfinished:
            self.write_rest(unfinished.pop((self, current.get(), get_ident()), ""))
        super().flush()

    def write_rest(self, text: str) -> None:
        """Write a line that is not complete."""
        if text:
            super().write(text)


def print_whole_lines() -> None:
    """Replace the standard streams of this process. One that is closed, or that other code has replaced, is left."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            with suppress(OSError, ValueError):  # it has no file
                output = JobOutput(stream)
                stream.reconfigure(line_buffering=True)  # for code that has it already
                setattr(sys, name, output)
                setattr(sys, f"__{name}__", output)


def finish_lines(job: RunningJob | None) -> None:
    """Write what a job that has ended left incomplete; None: what any job or thread did."""
    for key in list(unfinished.copy()):
        if job is None or key[1] is job:
            with suppress(Exception):  # the stream is gone: there is nowhere left to write it
                key[0].write_rest(unfinished.pop(key, ""))
