"""When a worker process is replaced by a fresh one: what its jobs leak is freed with it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

MEGABYTE = 1024 * 1024


def should_recycle(jobs: int, memory: int, max_jobs: int | None, max_memory: int | None) -> str | None:
    """Return why a process is to be replaced, or None. `memory` is in bytes, `max_memory` in megabytes."""
    if max_jobs is not None and jobs >= max_jobs:
        return f"it has run {jobs:,} jobs"
    if max_memory is not None and jobs and memory >= max_memory * MEGABYTE:  # a fresh one would be no better
        return f"it uses {memory / MEGABYTE:,.0f} MB"
    return None


def memory_used() -> int:
    """Return the memory of this process in bytes (without /proc: its peak)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, LookupError, ValueError):  # or a job has replaced what reads it
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()


def limit_memory(megabytes: int) -> None:
    """Limit the data of this process: an allocation beyond it raises MemoryError."""
    size = megabytes * MEGABYTE
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))
