"""When a worker process has done enough, and is replaced by a fresh one: what its jobs leak goes with it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

MEGABYTE = 1024 * 1024


def should_recycle(jobs: int, memory: int, max_jobs: int | None, max_memory: int | None) -> str | None:
    """Say why a process is to be replaced; None: it can go on. Memory in bytes, `max_memory` in megabytes."""
    if max_jobs is not None and jobs >= max_jobs:
        return f"it has run {jobs:,} jobs"
    if max_memory is not None and jobs and memory >= max_memory * MEGABYTE:  # a fresh one would be no better
        return f"it uses {memory / MEGABYTE:,.0f} MB"
    return None


def memory_used() -> int:
    """Give the bytes of memory that this process has now (where /proc is missing: has had at most)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()


def limit_memory(megabytes: int) -> None:
    """Let this process have no more data than that: what wants more gets a MemoryError."""
    size = megabytes * MEGABYTE
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))
