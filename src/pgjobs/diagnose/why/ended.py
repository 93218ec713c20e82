"""Reasons that end the matter: there is no such job, or nobody sees it yet, or it has finished."""

from __future__ import annotations

from pgjobs.core.text import duration as span
from pgjobs.core.text import listed
from pgjobs.diagnose.why.answer import Finding
from pgjobs.diagnose.why.code import cannot_import, cause
from pgjobs.diagnose.why.snapshot import Snapshot
from pgjobs.diagnose.why.words import at


def never(s: Snapshot) -> Finding | None:
    """Tell that no job was given this id yet."""
    if s.job is not None or s.last_id is None or s.id <= s.last_id:
        return None
    return Finding(
        "never",
        f"There is no job {s.id} yet: the newest id that was given out is {s.last_id}.",
        "Look at the id, and whether this is the right database and schema.",
        {"newest_id": s.last_id},
    )


def uncommitted(s: Snapshot) -> Finding | None:
    """Tell that the id was given out, and somebody who has inserted jobs has not committed yet."""
    if s.job is not None or not s.writers:
        return None
    open_ones = [
        f"{writer}{f', open for {span(writer.seconds)}' if writer.seconds is not None else ''}" for writer in s.writers
    ]
    return Finding(
        "uncommitted",
        f"Job {s.id} can not be seen: its id was given out, and a transaction that writes jobs is still open: "
        f"{listed(open_ones, 2)}.",
        "Commit that transaction: a job is there once the transaction that enqueues it is committed.",
        {
            "transactions": [
                {"pid": w.pid, "application": w.name, "state": w.state, "seconds": w.seconds, "kind": w.kind}
                for w in s.writers
            ]
        },
    )


def gone(s: Snapshot) -> Finding | None:
    """Tell that the id was given out, and there is nothing under it."""
    if s.job is not None:
        return None
    return Finding(
        "gone",
        f"There is no job {s.id} any more: the transaction that enqueued it was rolled back, or it has finished and is "
        "past retention.",
        "Look at the log of what enqueued it; `pgjobs history list` shows how far back finished jobs are kept.",
    )


def completed(s: Snapshot) -> Finding | None:
    """Tell that it has run."""
    if s.job is None or s.job.status != "completed":
        return None
    return Finding(
        "completed",
        f"Job {s.id} has completed, {_ended(s)}.",
        f"Nothing: it is done. `pgjobs jobs retry {s.id}` runs it once more.",
        {"finished_at": s.job.finished_at},
    )


def failed(s: Snapshot) -> Finding | None:
    """Tell that it has used up its attempts."""
    job = s.job
    if job is None or job.status != "failed":
        return None
    what = f"Job {s.id} has failed for good, {_ended(s)}, after {job.tries}: {job.error or 'no error was recorded'}"
    if s.died_at is None:
        step = f"Its dead letter was discarded; `pgjobs jobs retry {s.id}` runs it once more."
    elif cannot_import(job):
        step = f"Install the code of {job.task} where the workers run ({cause(job)}), then `pgjobs dead replay {s.id}`."
    else:
        step = f"See `pgjobs dead show {s.id}`; once the cause is mended, `pgjobs dead replay {s.id}`."
    return Finding("failed", f"{what.rstrip('.')}.", step, {"finished_at": job.finished_at, "error": job.error})


def cancelled(s: Snapshot) -> Finding | None:
    """Tell that somebody did not want it any more."""
    job = s.job
    if job is None or job.status != "cancelled":
        return None
    what = f"Job {s.id} was cancelled, {_ended(s)}{f': {job.error}' if job.error else ''}"
    return Finding(
        "cancelled",
        f"{what.rstrip('.')}.",
        f"Nothing, if that was meant. `pgjobs jobs retry {s.id}` queues it again.",
        {"finished_at": job.finished_at, "reason": job.error},
    )


def _ended(s: Snapshot) -> str:
    if s.job is None or s.job.finished_at is None:
        return "nobody knows when"
    ago = span((s.now - s.job.finished_at).total_seconds())
    return f"{ago} ago, at {at(s.job.finished_at)}"
