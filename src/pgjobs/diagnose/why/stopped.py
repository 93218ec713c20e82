"""Reasons that hold whatever workers there are: it is not due, it waits for others, or somebody has paused it."""

from __future__ import annotations

from datetime import datetime

from pgjobs.core.text import duration as span
from pgjobs.core.text import listed
from pgjobs.core.text import plural as count
from pgjobs.diagnose.why.answer import Finding
from pgjobs.diagnose.why.code import cannot_import, cause, where
from pgjobs.diagnose.why.snapshot import JobSnapshot, NeedSeen, Snapshot
from pgjobs.diagnose.why.words import NEVER, at


def expired(s: Snapshot) -> Finding | None:
    """Tell that it is not worth running any more."""
    job = s.job
    if job is None or job.expires_at is None or job.expires_at > s.now:
        return None
    return Finding(
        "expired",
        f"Job {s.id} expired {_ago(s, job.expires_at)}: it is cancelled without being run as soon as it is its turn.",
        f"Nothing, or cancel it now: `pgjobs jobs cancel {s.id}`.",
        {"expired_at": job.expires_at},
    )


def cannot_be_imported(s: Snapshot) -> Finding | None:
    """Tell that a worker has tried, and does not have the code. Whether the others have it shows when they try."""
    job = s.job
    if job is None or not cannot_import(job):
        return None
    others = [worker for worker in s.serving() if worker.id != (job.last_error or {}).get("worker")]
    hosts = sorted({worker.host for worker in s.serving()})
    listening = f"; {count(len(others), 'other worker')} listen{'s' * (len(others) == 1)}" if others else ""
    return Finding(
        "cannot_import",
        f"Workers take job {s.id} and can not import it: {where(job)} got {cause(job)} in {job.tries}; the next one "
        f"{_when(s, job)}{listening}.",
        f"Install the code of {job.task} where the workers of queue {job.queue} run"
        f"{f' ({listed(hosts)})' if hosts else ''}, at the version that enqueues, and restart them.",
        {"error": cause(job), "worker_id": (job.last_error or {}).get("worker"), "hosts": hosts, "run_at": job.run_at},
    )


def retried(s: Snapshot) -> Finding | None:
    """Tell that its last attempt failed, and the next one is later."""
    job = s.job
    if job is None or job.run_at <= s.now or not job.error or cannot_import(job):
        return None
    return Finding(
        "retried",
        f"Job {s.id} failed in {job.tries} ({job.error.rstrip('.')}), and is tried again {_when(s, job)}.",
        f"Wait, or `pgjobs jobs retry {s.id}` to try it now.",
        {"run_at": job.run_at, "error": job.error},
    )


def later(s: Snapshot) -> Finding | None:
    """Tell that it is not due yet."""
    job = s.job
    if job is None or job.run_at <= s.now or job.error:
        return None
    return Finding(
        "later",
        f"Job {s.id} is due later: {_when(s, job)}.",
        f"Wait, or `pgjobs jobs retry {s.id}` to run it now.",
        {"run_at": job.run_at},
    )


def needs(s: Snapshot) -> Finding | None:
    """Tell that others have to end before."""
    job = s.job
    if job is None or job.held != "needs":
        return None
    ended = ("failed", "cancelled")
    lost = [need for need in s.needs if need.status in ended and need.on_failure == "wait"]
    open_ones = [need for need in s.needs if need in lost or need.status not in ("completed", "cancelled")]
    unsatisfiable = [need for need in open_ones if need in lost or need.status is None]
    shown = listed([f"{need.id} ({_state(need)})" for need in open_ones])
    what = f"Job {s.id} waits for {count(job.needs or len(open_ones), 'job')} to end{f': {shown}' if shown else ''}."
    step = "Wait for them, or see `pgjobs why` of the first one."
    if open_ones:
        step = f"Wait for them, or see `pgjobs why {open_ones[0].id}`."
    if unsatisfiable and unsatisfiable[0].status == "failed":
        step = f"Replay what failed: `pgjobs dead replay {unsatisfiable[0].id}`; or `pgjobs jobs cancel {s.id}`."
    elif unsatisfiable and unsatisfiable[0].status == "cancelled":
        first = unsatisfiable[0].id
        step = f"Job {first} was cancelled: run it again, `pgjobs jobs retry {first}`; or `pgjobs jobs cancel {s.id}`."
    elif unsatisfiable:
        step = (
            f"Job {unsatisfiable[0].id} does not exist any more, so this one never starts: `pgjobs jobs cancel {s.id}`."
        )
    return Finding("needs", what, step, {"needs": {str(need.id): need.status for need in s.needs}})


def everything_paused(s: Snapshot) -> Finding | None:
    """Tell that the switch for all queues is off."""
    pause = s.everything_pause
    if s.job is None or pause is None:
        return None
    return Finding(
        "everything_paused",
        f"Job {s.id} is not claimed, because everything was paused{_since(s, pause.paused_at)}.",
        "Let all queues go on: `pgjobs resume`.",
        {"since": pause.paused_at},
    )


def queue_paused(s: Snapshot) -> Finding | None:
    """Tell that its queue is paused."""
    if s.job is None or s.queue is None or not s.queue.paused:
        return None
    return Finding(
        "queue_paused",
        f"Job {s.id} is not claimed, because its queue {s.job.queue} was paused{_since(s, s.queue.paused_at)}.",
        f"Let the queue go on: `pgjobs queues resume {s.job.queue}`.",
        {"queue": s.job.queue, "since": s.queue.paused_at},
    )


def task_paused(s: Snapshot) -> Finding | None:
    """Tell that its task is paused."""
    job, pause = s.job, s.task_pause
    if job is None or (pause is None and job.held != "task"):
        return None
    name = (pause.task if pause else "") or job.task
    task = job.task if name == job.task else f"{job.task} (by {name})"
    return Finding(
        "task_paused",
        f"Job {s.id} is not run, because its task {task} was paused{_since(s, pause.paused_at if pause else None)}.",
        f"Let the task go on: `pgjobs tasks resume {name}`.",
        {"task": name, "since": pause.paused_at if pause else None},
    )


def _state(need: NeedSeen) -> str:
    return need.status or "not there any more"


def _since(s: Snapshot, moment: datetime | None) -> str:
    return "" if moment is None else f" {_ago(s, moment)}"


def _ago(s: Snapshot, moment: datetime) -> str:
    return f"{span((s.now - moment).total_seconds())} ago, at {at(moment)}"


def _when(s: Snapshot, job: JobSnapshot) -> str:
    if job.run_at >= NEVER:
        return "at infinity, which is never"
    seconds = (job.run_at - s.now).total_seconds()
    return f"in {span(seconds)}, at {at(job.run_at)}" if seconds > 0 else "is due now"
