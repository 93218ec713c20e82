"""Claimed jobs, for tests of what a worker does with them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pgjobs.worker.local.claimed_job import ClaimedJob


def claimed_job(id: int = 1, claim_number: int = 1, **fields: Any) -> ClaimedJob:
    """Make a plain job in its first attempt of five; `fields` replace others."""
    values: dict[str, Any] = {
        "queue": "default",
        "local_queue": None,
        "attempt": 1,
        "max_attempts": 5,
        "prior_attempts": None,
        "priority": 5,
        "run_at": datetime.now(UTC),
        "task": "a:b",
        "executor": None,
        "isolate": None,
        "timeout": None,
        "signature": None,
        "payload": b"",
        "meta": None,
    }
    return ClaimedJob(id=id, claim_number=claim_number, **values | fields)
