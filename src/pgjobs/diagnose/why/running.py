"""Reasons of a job that was claimed: it runs, or its worker is not there any more."""

from __future__ import annotations

from pgjobs.core.text import duration as span
from pgjobs.diagnose.why.answer import Finding
from pgjobs.diagnose.why.snapshot import Snapshot, WorkerSeen

ORPHANS_WITHIN = 600.0  # seconds: how often supervisors look for jobs whose worker has no row


def orphaned(s: Snapshot) -> Finding | None:
    """Tell that its worker has no row any more."""
    if s.job is None or s.job.status != "running" or _worker(s) is not None:
        return None
    return Finding(
        "orphaned",
        f"Job {s.id} was claimed by worker {s.job.worker_id}, which is not in the table of workers any more; a "
        f"supervisor takes it back within {span(ORPHANS_WITHIN)}.",
        "Wait, or start a worker on any queue: it looks for such jobs at once.",
        {"worker_id": s.job.worker_id},
    )


def silent(s: Snapshot) -> Finding | None:
    """Tell that its worker is not heard from."""
    worker = _worker(s)
    if worker is None or worker.is_heard:
        return None
    left = rescued_in(s, worker)
    what = f"Job {s.id} was claimed by {worker}, which has not been heard from for {span(worker.silent_for)}"
    facts = {"worker_id": worker.id, "silent_seconds": worker.silent_for, "rescued_in_seconds": left}
    if left is None:
        return Finding(
            "silent",
            f"{what}, and there is no other worker that could take it back.",
            "Start a worker on any queue: it takes back the jobs of those that are silent.",
            facts,
        )
    when = f"in {span(left)}" if left > 0 else "at any moment"
    return Finding(
        "silent",
        f"{what}; it is taken back {when}.",
        "Wait; if the machine of that worker is up, look whether it reaches PostgreSQL.",
        facts,
    )


def running(s: Snapshot) -> Finding | None:
    """Tell that it runs, or is about to: who has claimed it has it in hand."""
    job, worker = s.job, _worker(s)
    if job is None or worker is None:
        return None
    seconds = (s.now - job.started_at).total_seconds() if job.started_at else 0.0
    what = f"Job {s.id} is running: claimed {span(seconds)} ago by {worker}, {job.tries}"
    facts = {"worker_id": worker.id, "since": job.started_at, "timeout": job.timeout}
    if job.timeout is None:
        limit = "it has no timeout"
    elif seconds <= job.timeout:
        limit = f"it may take {span(job.timeout)}"
    else:
        limit = f"it is past its timeout of {span(job.timeout)}, and is being stopped"
    if job.cancel_reason is not None:
        limit = f"its cancel was asked for ({job.cancel_reason.rstrip('.')})"
        step = "Wait: a process is killed, async code is cancelled; a thread ends when its code looks at `cancelled`."
        return Finding("running", f"{what}; {limit}.", step, {**facts, "cancel_reason": job.cancel_reason})
    return Finding("running", f"{what}; {limit}.", f"Wait for its end, or `pgjobs jobs cancel {s.id}`.", facts)


def _worker(s: Snapshot) -> WorkerSeen | None:
    if s.job is None or s.job.status != "running":
        return None
    return next((worker for worker in s.workers if worker.id == s.job.worker_id), None)


def rescued_in(s: Snapshot, worker: WorkerSeen) -> float | None:
    """Give the seconds until somebody takes a silent worker's jobs back; None: nobody is there to do it."""
    patience = [other.rescue_after or 30.0 for other in s.workers if other.is_heard]
    return max(0.0, min(patience) - worker.silent_for) if patience else None
