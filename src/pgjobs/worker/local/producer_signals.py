"""What other threads tell the producer of a queue: one queue of events, and one pipe that wakes it.

A producer is in one of four states:

    claiming             a claim is under way
    waiting for demand   slots and inbox are full
    polling              the last claims found little: it looks again after milliseconds
    listening            the queue has been empty for a while: the doorbell is armed, with a slow poll as the net

    claiming → waiting for demand   nothing more is wanted
    claiming → polling              fewer jobs were found than wanted
    polling → listening             after a few empty claims
    any wait → claiming             `wake()`, the doorbell, a job that is due, or the time is over

The senders:

    Freed      acknowledger   running jobs ended that others may have waited for
    LostClaims acknowledger   it may have claimed jobs, but the answer was lost
    LookAhead  acknowledger   a job was queued for later: it may be due sooner than the next look
    Rescan     main thread    (drain) look at once for what is due, also for what waits for its turn
    wake()     acknowledger when demand is back; breakers when one closes; the main thread to stop
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue


@dataclass(frozen=True, slots=True)
class Freed:
    """Jobs of these lanes ended (priority and lane of each); there may be room for plain jobs too."""

    lanes: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True, slots=True)
class LostClaims:
    """Look for jobs that this worker has claimed and does not know of."""


@dataclass(frozen=True, slots=True)
class LookAhead:
    """Ask when the next job is due."""


@dataclass(frozen=True, slots=True)
class Rescan:
    """Check at once whether anything waits for its turn."""


Event = Freed | LookAhead | LostClaims | Rescan


class ProducerSignals:
    """Any thread may `send` and `wake`; the producer alone receives."""

    def __init__(self) -> None:
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._pipe_read, self._pipe_write = os.pipe()
        os.set_blocking(self._pipe_read, False)
        os.set_blocking(self._pipe_write, False)

    @property
    def wake_fd(self) -> int:
        """The file descriptor that is readable after a wake-up."""
        return self._pipe_read

    def send(self, event: Event) -> None:
        """Queue an event, and wake the producer."""
        self._events.put(event)
        self.wake()

    def receive(self) -> list[Event]:
        """Return the events since the last call, without waiting."""
        return [self._events.get_nowait() for _ in range(self._events.qsize())]

    def wake(self) -> None:
        """Wake the producer, wherever it waits."""
        try:
            os.write(self._pipe_write, b"!")
        except BlockingIOError:
            pass  # the pipe is full of wake-ups

    def clear(self) -> None:
        """Forget the wake-ups so far."""
        try:
            while os.read(self._pipe_read, 4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._pipe_read)
        os.close(self._pipe_write)
