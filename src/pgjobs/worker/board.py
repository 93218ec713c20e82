"""Which job each slot of a worker process runs: shared memory that outlives the process.

A worker writes a slot when it starts a job; when the process dies, its supervisor reads which jobs were running and
which were only claimed. Entries are not cleared: a job that has been acknowledged is not `running` in the database any
more, and an entry only counts beside a row that is.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Callable

_ENTRY = struct.Struct("qq")  # id, attempt


class Board:
    """Shared memory of `slots` entries behind a file descriptor that is passed to the worker process."""

    def __init__(self, slots: int, fd: int | None = None) -> None:
        if fd is None:
            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
            os.ftruncate(fd, max(1, slots) * _ENTRY.size)
        self.fd = fd
        self.slots = slots
        self._memory = mmap.mmap(fd, max(1, slots) * _ENTRY.size)

    def writer(self) -> Callable[[int, int, int], None]:
        """Give the function `write(slot, id, attempt)`; it is called once a job, so it is bare."""
        pack, memory, size = _ENTRY.pack_into, self._memory, _ENTRY.size

        def write(slot: int, id: int, attempt: int) -> None:
            pack(memory, slot * size, id, attempt)

        return write

    def started(self) -> set[tuple[int, int]]:
        """Give the (id, attempt) of the jobs that were started last in each slot."""
        entries = (_ENTRY.unpack_from(self._memory, slot * _ENTRY.size) for slot in range(self.slots))
        return {entry for entry in entries if entry[0]}

    def close(self) -> None:
        """Give the memory and the file back."""
        self._memory.close()
        os.close(self.fd)
