"""What each slot of a worker process runs, and whether its main thread lives: shared memory that outlives the process.

A worker writes a slot when it starts a job; when the process dies, its supervisor reads which jobs were running and
which were only claimed. Entries are not cleared, because an entry counts only if its job is still `running` in the
database. Only deadlines are cleared. A second list has the process groups of its children, and behind that is what
the process counts, where metrics are served.

Times are seconds of the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from zlib import crc32

from pgjobs.core.unnamed_file import unnamed_file
from pgjobs.worker.runtime.job_claim import Claim

_ENTRY = struct.Struct("qqd")  # job id, claim number, deadline (0: none)
_PULSE = struct.Struct("d")  # when the main thread last looked up; after the entries
_GROUP = struct.Struct("q")  # a process group of a child (0: none), one for each slot; after that
_COUNTS = struct.Struct("=II")  # length and checksum of what follows: the counts of the process, as text
MAX_COUNTS = 1 << 20  # bytes; memory that is not written to takes no room
_DEADLINE = struct.Struct("d")
_DEADLINE_AT = 16


class Scoreboard:
    """Shared memory of `slots` entries behind a file descriptor that is passed to the worker process."""

    def __init__(self, slots: int, fd: int | None = None) -> None:
        self._groups_at = slots * _ENTRY.size + _PULSE.size
        self._counts_at = self._groups_at + slots * _GROUP.size
        size = self._counts_at + _COUNTS.size + MAX_COUNTS
        if fd is None:
            fd = unnamed_file()
            os.ftruncate(fd, size)
        self.fd = fd
        self.slots = slots
        self._memory = mmap.mmap(fd, size)
        self._lock = threading.Lock()  # for the groups

    def writer(self) -> Callable[[int, int, int, float], None]:
        """Return the function `write(slot, job_id, claim_number, deadline)`, which is called for every job."""
        pack, memory, size = _ENTRY.pack_into, self._memory, _ENTRY.size

        def write(slot: int, job_id: int, claim_number: int, deadline: float) -> None:
            pack(memory, slot * size, job_id, claim_number, deadline)

        return write

    def set_deadline(self, slot: int, deadline: float) -> None:
        """Record when the time of the slot's job is up."""
        _DEADLINE.pack_into(self._memory, slot * _ENTRY.size + _DEADLINE_AT, deadline)

    def clear_deadline(self, slot: int) -> None:
        """Record that the job of the slot has ended, or that its timeout was handled."""
        self.set_deadline(slot, 0.0)

    def started(self) -> set[Claim]:
        """Return the claim that each slot ran last."""
        return {Claim(job_id, number) for job_id, number, _ in self._entries() if job_id}

    def overdue(self, seconds: float) -> set[Claim]:
        """Return the claims whose deadline passed at least `seconds` ago."""
        latest = time.monotonic() - seconds
        return {
            Claim(job_id, number) for job_id, number, deadline in self._entries() if job_id and 0 < deadline < latest
        }

    def add_group(self, leader: int) -> None:
        """Record the process group of a child."""
        self._replace_group(0, leader)

    def remove_group(self, leader: int) -> None:
        """Forget the process group of a child that has been waited for."""
        self._replace_group(leader, 0)

    def groups(self) -> list[int]:
        """Return the process groups of the children."""
        every = range(self._groups_at, self._groups_at + self.slots * _GROUP.size, _GROUP.size)
        return [leader for at in every if (leader := _GROUP.unpack_from(self._memory, at)[0])]

    def write_counts(self, text: bytes) -> bool:
        """Write what the process counts; False: it is too long. A reader that comes meanwhile sees a wrong checksum."""
        if len(text) > MAX_COUNTS:
            return False
        begins = self._counts_at + _COUNTS.size
        self._memory[begins : begins + len(text)] = text
        _COUNTS.pack_into(self._memory, self._counts_at, len(text), crc32(text))
        return True

    def read_counts(self) -> bytes | None:
        """Return what the process counts; None: it has written nothing yet, or was writing all the time."""
        begins = self._counts_at + _COUNTS.size
        for _ in range(5):
            length, checksum = _COUNTS.unpack_from(self._memory, self._counts_at)
            text = bytes(self._memory[begins : begins + min(length, MAX_COUNTS)])
            if length and crc32(text) == checksum:
                return text
            if not length:
                return None
            time.sleep(0.001)
        return None

    def _replace_group(self, old: int, new: int) -> None:
        with self._lock:
            for at in range(self._groups_at, self._groups_at + self.slots * _GROUP.size, _GROUP.size):
                if _GROUP.unpack_from(self._memory, at)[0] == old:
                    _GROUP.pack_into(self._memory, at, new)
                    return

    def _entries(self) -> list[tuple[int, int, float]]:
        return [_ENTRY.unpack_from(self._memory, slot * _ENTRY.size) for slot in range(self.slots)]

    def tick(self) -> None:
        """Record that the main thread is alive."""
        _PULSE.pack_into(self._memory, self.slots * _ENTRY.size, time.monotonic())

    def silence(self) -> float:
        """Return the seconds since the last `tick` of the main thread; 0 before the first."""
        last: float = _PULSE.unpack_from(self._memory, self.slots * _ENTRY.size)[0]
        return time.monotonic() - last if last else 0.0

    def close(self) -> None:
        """Free the memory and close the file."""
        self._memory.close()
        os.close(self.fd)
