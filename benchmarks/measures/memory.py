"""Memory of an idle worker."""

from __future__ import annotations

from typing import Any

from benchmarks.running import Workers

IDLE_SECONDS = 3.0


def memory(workers: Workers) -> dict[str, Any]:
    """Return megabytes of all its processes: RSS counts what they share for each, PSS once."""
    infos = [process.memory_full_info() for process in workers.processes()]
    return {
        "rss_mb": round(sum(info.rss for info in infos) / 1e6, 1),
        "pss_mb": round(sum(getattr(info, "pss", 0) for info in infos) / 1e6, 1),
        "processes": len(infos),
    }
