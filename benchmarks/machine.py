"""What the figures were measured on and with, so far as it matters and identifies no person."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from benchmarks.server import Redis, Server

ROOT = Path(__file__).resolve().parents[1]


def describe(server: Server, redis: Redis | None = None) -> dict[str, Any]:
    """Return date, commit, machine, and the servers with their settings."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
            "python": platform.python_version(),
            "psycopg": version("psycopg"),
        },
        "postgresql": {"version": server.version, "settings": dict(server.settings)},
        "redis": None if redis is None else {"version": redis.version, "settings": dict(redis.settings)},
    }


def commit() -> str:
    """Return the commit that is checked out, with `+` if what is measured has been changed since."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--", "src", "migrations", "benchmarks/*.py") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()
