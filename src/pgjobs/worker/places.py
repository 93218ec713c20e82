"""Where the worker processes of one supervisor have left off: shared memory, so that none passes what others took.

Each producer claims from its own place on. With many processes that place is far behind: all that the others have
claimed since lies between, and would be looked at by every one of them. What is shared only ever shortens the way.
Nobody waits for anybody here; a place of which one half is older than the other is as good as the older one, or is too
far, and then a sweep finds what it left out.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Sequence
from datetime import timedelta

from pgjobs.worker.frontier import OLDEST, PRIORITIES, Place

_PLACES = struct.Struct(f"{2 * len(PRIORITIES)}q")  # of each priority run_at, in microseconds since OLDEST, and the id
_MICROSECOND = timedelta(microseconds=1)


class SharedPlaces:
    """Shared memory of the places of `queues` queues, behind a file descriptor that worker processes get passed."""

    def __init__(self, queues: int, fd: int | None = None) -> None:
        size = queues * _PLACES.size
        if fd is None:
            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
            os.ftruncate(fd, size)
        self.fd = fd
        self._memory = mmap.mmap(fd, size)

    def furthest(self, queue: int, places: Sequence[Place]) -> list[Place]:
        """Give, for each priority, the place here or the one given, whichever is further."""
        numbers = _PLACES.unpack_from(self._memory, queue * _PLACES.size)
        shared = zip(numbers[::2], numbers[1::2], strict=True)
        return [
            max(place, (OLDEST + timedelta(microseconds=run_at), number)) if run_at else place
            for place, (run_at, number) in zip(places, shared, strict=True)
        ]

    def share(self, queue: int, places: Sequence[Place]) -> None:
        """Put places here for the others to start from."""
        numbers: list[int] = []
        for run_at, number in places:
            numbers += ((run_at - OLDEST) // _MICROSECOND, number)
        _PLACES.pack_into(self._memory, queue * _PLACES.size, *numbers)

    def close(self) -> None:
        """Give the memory and the file back."""
        self._memory.close()
        os.close(self.fd)
