"""Whether a worker could not find the code of a job: only the error of an attempt shows it."""

from __future__ import annotations

import re

from pgjobs.diagnose.why.snapshot import JobSnapshot
from pgjobs.jobs.outcome import ErrorKind

_IMPORT_ERROR = re.compile(
    r"\b((?:(?:ModuleNotFound|Import|Attribute)Error:|this worker knows no job) .*?)(?:\. [A-Z]|$)"
)


def cannot_import(job: JobSnapshot) -> bool:
    """Return True if its last attempt ended because the worker could not import what it calls."""
    return job.error_kind in (ErrorKind.MODULE_MISSING, ErrorKind.NAME_MISSING)


def cause(job: JobSnapshot) -> str:
    """Return the error of the import, without the advice that follows it in the message.

    >>> from datetime import UTC, datetime
    >>> error = "PayloadError: the payload cannot be loaded: ModuleNotFoundError: No module named 'a'. Is the code …?"
    >>> cause(JobSnapshot(1, "queued", "default", 5, "a:b", 1, 5, datetime.now(UTC), error=error))
    "ModuleNotFoundError: No module named 'a'"
    >>> error = "PayloadError: the payload cannot be loaded: this worker knows no job 'a': b no longer has it. Start …"
    >>> cause(JobSnapshot(1, "queued", "default", 5, "a", 1, 5, datetime.now(UTC), error=error))
    "this worker knows no job 'a': b no longer has it"

    """
    found = _IMPORT_ERROR.search(job.error or "")
    return found[1] if found else job.error or ""


def where(job: JobSnapshot) -> str:
    """Name the worker that tried."""
    entry = job.last_error or {}
    host = f" ({entry['host']})" if entry.get("host") else ""
    return f"worker {entry['worker']}{host}" if entry.get("worker") is not None else "a worker"
