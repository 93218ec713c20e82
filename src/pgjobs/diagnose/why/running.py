"""Reasons of a job that was claimed: it runs, or its worker is gone."""

from __future__ import annotations

from pgjobs.core.text import duration
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.rows import WorkerSnapshot
from pgjobs.diagnose.text import waiting_sentence, waiting_step
from pgjobs.diagnose.why.snapshot import Snapshot

ORPHANS_WITHIN = 600.0  # seconds: how often supervisors look for jobs whose worker has no row


def orphaned(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its worker has no row."""
    if snapshot.job is None or snapshot.job.status != "running" or _worker(snapshot) is not None:
        return None
    return Finding(
        "orphaned",
        f"Job {snapshot.id} was claimed by worker {snapshot.job.worker_id}, which is no longer in the table of "
        f"workers; a supervisor takes it back within {duration(ORPHANS_WITHIN)}.",
        "Wait, or start a worker on any queue: it looks for such jobs at once.",
        {"worker_id": snapshot.job.worker_id},
    )


def silent(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its worker is not heard from."""
    worker = _worker(snapshot)
    if worker is None or worker.is_heard:
        return None
    left = rescued_in(snapshot, worker)
    what = f"Job {snapshot.id} was claimed by {worker}, which has not been heard from for {duration(worker.silent_for)}"
    facts = {"worker_id": worker.id, "silent_seconds": worker.silent_for, "rescued_in_seconds": left}
    if left is None:
        return Finding(
            "silent",
            f"{what}, and there is no other worker that could take it back.",
            "Start a worker on any queue: it takes back the jobs of those that are silent.",
            facts,
        )
    when = f"in {duration(left)}" if left > 0 else "at any moment"
    return Finding(
        "silent",
        f"{what}; it is taken back {when}.",
        "Wait; if the machine of that worker is up, look whether it reaches PostgreSQL.",
        facts,
    )


def awaits(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it waits for a job of its own queue, which has no slot for it."""
    if snapshot.job is None or snapshot.job.status != "running" or not waits_in_vain(snapshot):
        return None
    return _of_waiters("awaits", snapshot)


def awaited(snapshot: Snapshot) -> Finding | None:
    """Return a finding if a running job of its queue waits for it, and there is no slot for it."""
    return _of_waiters("awaited", snapshot) if waits_in_vain(snapshot) else None


def waits_in_vain(snapshot: Snapshot) -> bool:
    """Return True if running jobs wait for one that waits for a slot while all slots are taken."""
    return snapshot.awaited is not None and snapshot.slots() > 0 and snapshot.free_slots() <= 0 < snapshot.running


def _of_waiters(name: str, snapshot: Snapshot) -> Finding:
    job, found = snapshot.job, snapshot.awaited
    assert job is not None and found is not None  # noqa: S101, PT018 (for mypy)
    return Finding(
        name,
        waiting_sentence(job.queue, found.id, found.waiters),
        waiting_step(job.queue),
        {"queue": job.queue, "id": found.id, "waiters": list(found.waiters), "slots": snapshot.slots()},
    )


def running(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it runs, or is about to."""
    job, worker = snapshot.job, _worker(snapshot)
    if job is None or worker is None:
        return None
    seconds = (snapshot.now - job.started_at).total_seconds() if job.started_at else 0.0
    what = f"Job {snapshot.id} is running: claimed {duration(seconds)} ago by {worker}, {job.tries}"
    facts = {"worker_id": worker.id, "since": job.started_at, "timeout": job.timeout}
    if job.timeout is None:
        limit = "it has no timeout"
    elif seconds <= job.timeout:
        limit = f"it may take {duration(job.timeout)}"
    else:
        limit = f"it is past its timeout of {duration(job.timeout)}, and is being stopped"
    if job.cancel_reason is not None:
        limit = f"its cancel was asked for ({job.cancel_reason.rstrip('.')})"
        step = "Wait: a process is killed, async code is cancelled; a thread ends when its code looks at `cancelled`."
        return Finding("running", f"{what}; {limit}.", step, {**facts, "cancel_reason": job.cancel_reason})
    return Finding("running", f"{what}; {limit}.", f"Wait for its end, or `pgjobs jobs cancel {snapshot.id}`.", facts)


def _worker(snapshot: Snapshot) -> WorkerSnapshot | None:
    if snapshot.job is None or snapshot.job.status != "running":
        return None
    return next((worker for worker in snapshot.workers if worker.id == snapshot.job.worker_id), None)


def rescued_in(snapshot: Snapshot, worker: WorkerSnapshot) -> float | None:
    """Return the seconds until a silent worker's jobs are taken back; None if there is no worker to do it."""
    soonest = min((other.dead_after for other in snapshot.workers if other.is_heard), default=None)
    return None if soonest is None else max(0.0, soonest - worker.silent_for)
