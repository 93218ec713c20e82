"""Where `pgjobs.otel` attaches traces: around what writes jobs, around broadcasts, and in log lines.

This is not for applications: their hooks are in `pgjobs.hooks`. Without traces, `installed.tracing` is None, which is
all that others look at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Sending(Protocol):
    """Follows one call that writes jobs, from the first that is encoded until they are written."""

    def current(self) -> AbstractContextManager[object]:
        """Make it the context of what runs inside: metadata is made from that."""

    def end(self, ids: Sequence[int], error: BaseException | None = None) -> None:
        """End it: these jobs were written, or it has failed."""


class Tracing(Protocol):
    """Follows what pgjobs does in this process."""

    def send(self, destination: str | None, *, many: bool = False, operation: str = "send") -> Sending:
        """Begin to follow a call that writes jobs. `many`: it may write any number of them."""

    def carried(self) -> Mapping[str, str]:
        """Return what a message carries that is written here, so that others can tell from where it came."""

    def passed_on(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metadata of jobs that one with this metadata leads to: they come from it, and not from before."""

    def broadcast(
        self, carried: Mapping[str, Any], destination: str, task: str, id: int
    ) -> AbstractContextManager[object]:
        """Follow the run of a broadcast. `carried`: what that method has returned where it was sent."""

    def log_fields(self, job: object | None = None) -> Mapping[str, str]:
        """Return the fields of a log line that is written here, or of one about a job that has failed here."""


class _Installed:
    tracing: Tracing | None = None


installed = _Installed()


class _Unfollowed:
    def current(self) -> AbstractContextManager[object]:
        return nullcontext()

    def end(self, ids: Sequence[int], error: BaseException | None = None) -> None:
        pass


_UNFOLLOWED = _Unfollowed()


def send(destination: str | None, *, many: bool = False, operation: str = "send") -> Sending:
    """Begin to follow a call that writes jobs; without traces nothing is followed."""
    tracing = installed.tracing
    return _UNFOLLOWED if tracing is None else tracing.send(destination, many=many, operation=operation)


def followed(sending: Sending, write: Callable[[], T], ids_of: Callable[[T], Sequence[int]]) -> T:
    """Write jobs, and return what `write` returns."""
    try:
        with sending.current():
            written = write()
    except BaseException as error:
        sending.end((), error)
        raise
    sending.end(ids_of(written))
    return written


async def followed_async(
    sending: Sending, write: Callable[[], Awaitable[T]], ids_of: Callable[[T], Sequence[int]]
) -> T:
    """Do the same where the result has to be awaited."""
    try:
        with sending.current():
            written = await write()
    except BaseException as error:
        sending.end((), error)
        raise
    sending.end(ids_of(written))
    return written
