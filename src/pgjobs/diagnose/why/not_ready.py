"""Reasons of the job itself: it has expired, is not due, cannot be imported, or waits for other jobs."""

from __future__ import annotations

from pgjobs.core.text import duration, listed, plural
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.text import NEVER, ago, at
from pgjobs.diagnose.why.code import cannot_import, cause, where
from pgjobs.diagnose.why.snapshot import JobSnapshot, NeedSnapshot, Snapshot


def expired(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it has expired."""
    job = snapshot.job
    if job is None or job.expires_at is None or job.expires_at > snapshot.now:
        return None
    return Finding(
        "expired",
        f"Job {snapshot.id} expired {ago(snapshot.now, job.expires_at)}: it is cancelled without being run as soon as "
        "it is its turn.",
        f"Nothing, or cancel it now: `pgjobs jobs cancel {snapshot.id}`.",
        {"expired_at": job.expires_at},
    )


def cannot_be_imported(snapshot: Snapshot) -> Finding | None:
    """Return a finding if a worker has tried, and does not have its code. Other workers may have it."""
    job = snapshot.job
    if job is None or not cannot_import(job):
        return None
    others = [worker for worker in snapshot.serving() if worker.id != (job.last_error or {}).get("worker")]
    hosts = sorted({worker.host for worker in snapshot.serving()})
    listening = f"; {plural(len(others), 'other worker')} listen{'s' * (len(others) == 1)}" if others else ""
    return Finding(
        "cannot_import",
        f"Workers take job {snapshot.id} and cannot import it: {where(job)} got {cause(job)} in {job.tries}; the "
        f"next one {_when(snapshot, job)}{listening}.",
        f"Install the code of {job.task} where the workers of queue {job.queue} run"
        f"{f' ({listed(hosts)})' if hosts else ''}, at the version that enqueues, and restart them.",
        {"error": cause(job), "worker_id": (job.last_error or {}).get("worker"), "hosts": hosts, "run_at": job.run_at},
    )


def retried(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its last attempt failed, and the next one is later."""
    job = snapshot.job
    if job is None or job.run_at <= snapshot.now or not job.error or cannot_import(job):
        return None
    return Finding(
        "retried",
        f"Job {snapshot.id} failed in {job.tries} ({job.error.rstrip('.')}), and is tried again "
        f"{_when(snapshot, job)}.",
        _sooner(job, "try it now"),
        {"run_at": job.run_at, "error": job.error},
    )


def later(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it is not due yet."""
    job = snapshot.job
    if job is None or job.run_at <= snapshot.now or job.error or snapshot.wait is not None:
        return None
    return Finding(
        "later",
        f"Job {snapshot.id} is due later: {_when(snapshot, job)}.",
        _sooner(job, "run it now"),
        {"run_at": job.run_at},
    )


def needs(snapshot: Snapshot) -> Finding | None:
    """Return a finding if others have to end before."""
    job = snapshot.job
    if job is None or job.held != "needs" or snapshot.step is not None:
        return None
    ended = ("failed", "cancelled")
    lost = [need for need in snapshot.needs if need.status in ended and need.on_failure == "wait"]
    open_ones = [need for need in snapshot.needs if need in lost or need.status not in ("completed", "cancelled")]
    unsatisfiable = [need for need in open_ones if need in lost or (need.status is None and not need.is_unclear)]
    shown = listed([f"{need.id} ({_state(need)})" for need in open_ones])
    needed = plural(job.needs or len(open_ones), "job")
    what = f"Job {snapshot.id} waits for {needed} to end{f': {shown}' if shown else ''}."
    step = "Wait for them, or see `pgjobs why` of the first one."
    if open_ones and all(need.status is None for need in open_ones):
        step = "Wait: once all transactions that were open have ended, it counts as completed, or is there."
    elif open_ones:
        step = f"Wait for them, or see `pgjobs why {open_ones[0].id}`."
    first = unsatisfiable[0].id if unsatisfiable else None
    if unsatisfiable and unsatisfiable[0].letter:
        step = f"Replay what failed: `pgjobs dead replay {first}`; or `pgjobs jobs cancel {snapshot.id}`."
    elif unsatisfiable and unsatisfiable[0].status is not None:
        how = "was cancelled" if unsatisfiable[0].status == "cancelled" else "failed, and its dead letter was discarded"
        step = f"Job {first} {how}: run it again, `pgjobs jobs retry {first}`; or `pgjobs jobs cancel {snapshot.id}`."
    elif unsatisfiable:
        step = f"Job {first} no longer exists, so this one never starts: `pgjobs jobs cancel {snapshot.id}`."
    return Finding("needs", what, step, {"needs": {str(need.id): need.status for need in snapshot.needs}})


def _sooner(job: JobSnapshot, what: str) -> str:
    """Return how it is made due now; one that waits for more than its time cannot be."""
    return "Wait." if job.held in ("needs", "task") else f"Wait, or `pgjobs jobs retry {job.id}` to {what}."


def _state(need: NeedSnapshot) -> str:
    return need.status or ("completed without a trace, or not committed yet" if need.is_unclear else "no longer there")


def _when(snapshot: Snapshot, job: JobSnapshot) -> str:
    if job.run_at >= NEVER:
        return "at infinity, which is never"
    seconds = (job.run_at - snapshot.now).total_seconds()
    return f"in {duration(seconds)}, at {at(job.run_at)}" if seconds > 0 else "is due now"
