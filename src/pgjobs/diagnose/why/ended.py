"""Final reasons: there is no such job, it is not committed yet, or it has ended."""

from __future__ import annotations

from pgjobs.core.text import duration, listed
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.text import at
from pgjobs.diagnose.why.code import cannot_import, cause
from pgjobs.diagnose.why.snapshot import Snapshot


def never(snapshot: Snapshot) -> Finding | None:
    """Return a finding if no job was given this id yet."""
    if snapshot.job is not None or snapshot.last_id is None or snapshot.id <= snapshot.last_id:
        return None
    return Finding(
        "never",
        f"There is no job {snapshot.id} yet: the newest id that was given out is {snapshot.last_id}.",
        "Look at the id, and whether this is the right database and schema.",
        {"newest_id": snapshot.last_id},
    )


def uncommitted(snapshot: Snapshot) -> Finding | None:
    """Return a finding if the id was given out, and a transaction that inserted jobs is still open."""
    if snapshot.job is not None or not snapshot.writers:
        return None
    open_ones = [
        f"{writer}{f', open for {duration(writer.seconds)}' if writer.seconds is not None else ''}"
        for writer in snapshot.writers
    ]
    return Finding(
        "uncommitted",
        f"Job {snapshot.id} cannot be seen: its id was given out, and a transaction that writes jobs is still open: "
        f"{listed(open_ones, 2)}.",
        "Commit that transaction: a job is there once the transaction that enqueues it is committed.",
        {
            "transactions": [
                {"pid": w.pid, "application": w.name, "state": w.state, "seconds": w.seconds, "kind": w.kind}
                for w in snapshot.writers
            ]
        },
    )


def gone(snapshot: Snapshot) -> Finding | None:
    """Return a finding if the id was given out, and there is nothing under it."""
    if snapshot.job is not None:
        return None
    return Finding(
        "gone",
        f"Job {snapshot.id} no longer exists: the transaction that enqueued it was rolled back or never committed, "
        "or it has finished and is past retention.",
        "Look at the log of what enqueued it; `pgjobs history list` shows how far back finished jobs are kept.",
    )


def completed(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it has run."""
    if snapshot.job is None or snapshot.job.status != "completed":
        return None
    return Finding(
        "completed",
        f"Job {snapshot.id} has completed, {_ended(snapshot)}.",
        f"Nothing: it is done. `pgjobs jobs retry {snapshot.id}` runs it once more.",
        {"finished_at": snapshot.job.finished_at},
    )


def failed(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it has used up its attempts."""
    job = snapshot.job
    if job is None or job.status != "failed":
        return None
    error = job.error or "no error was recorded"
    what = f"Job {snapshot.id} has failed for good, {_ended(snapshot)}, after {job.tries}: {error}"
    if snapshot.died_at is None:
        step = f"Its dead letter was discarded; `pgjobs jobs retry {snapshot.id}` runs it once more."
    elif cannot_import(job):
        step = (
            f"Install the code of {job.task} where the workers run ({cause(job)}), then "
            f"`pgjobs dead replay {snapshot.id}`."
        )
    else:
        step = f"See `pgjobs dead show {snapshot.id}`; once the cause is fixed, `pgjobs dead replay {snapshot.id}`."
    return Finding("failed", f"{what.rstrip('.')}.", step, {"finished_at": job.finished_at, "error": job.error})


def cancelled(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it was cancelled."""
    job = snapshot.job
    if job is None or job.status != "cancelled":
        return None
    what = f"Job {snapshot.id} was cancelled, {_ended(snapshot)}{f': {job.error}' if job.error else ''}"
    return Finding(
        "cancelled",
        f"{what.rstrip('.')}.",
        f"Nothing, if that was meant. `pgjobs jobs retry {snapshot.id}` queues it again.",
        {"finished_at": job.finished_at, "reason": job.error},
    )


def _ended(snapshot: Snapshot) -> str:
    if snapshot.job is None or snapshot.job.finished_at is None:
        return "at an unknown time"
    ago = duration((snapshot.now - snapshot.job.finished_at).total_seconds())
    return f"{ago} ago, at {at(snapshot.job.finished_at)}"
