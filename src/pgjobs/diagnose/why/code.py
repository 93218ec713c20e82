"""Whether a worker could not find the code of a job: it is not known before an attempt, but by its error."""

from __future__ import annotations

import re

from pgjobs.diagnose.why.snapshot import JobSnapshot

# What `pgjobs.payload` says where a module or a name in it is not there.
_NOT_FOUND = re.compile(r"PayloadError: the payload can not be loaded: ((?:ModuleNotFound|Import|Attribute)Error: .*)")


def cannot_import(job: JobSnapshot) -> bool:
    """Say whether its last attempt ended because the worker could not import what it calls."""
    return bool(job.error and _NOT_FOUND.match(job.error))


def cause(job: JobSnapshot) -> str:
    """Give the error of the import, without the advice that follows it.

    >>> from datetime import UTC, datetime
    >>> error = "PayloadError: the payload can not be loaded: ModuleNotFoundError: No module named 'a'. Is the code …?"
    >>> cause(JobSnapshot(1, "queued", "default", 5, "a:b", 1, 5, datetime.now(UTC), error=error))
    "ModuleNotFoundError: No module named 'a'"

    """
    found = _NOT_FOUND.match(job.error or "")
    return re.split(r"\. (?:Is|Was) ", found[1])[0] if found else ""


def where(job: JobSnapshot) -> str:
    """Name the worker that tried."""
    entry = job.last_error or {}
    host = f" ({entry['host']})" if entry.get("host") else ""
    return f"worker {entry['worker']}{host}" if entry.get("worker") is not None else "a worker"
