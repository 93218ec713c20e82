"""Reasons of a pause: of everything, of its queue, or of its task."""

from __future__ import annotations

from datetime import datetime

from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.text import ago, argument
from pgjobs.diagnose.why.snapshot import Snapshot


def everything_paused(snapshot: Snapshot) -> Finding | None:
    """Return a finding if the switch for all queues is off."""
    pause = snapshot.everything_pause
    if snapshot.job is None or pause is None:
        return None
    return Finding(
        "everything_paused",
        f"Job {snapshot.id} is not claimed, because everything was paused{_since(snapshot, pause.paused_at)}.",
        "Resume all queues: `pgjobs resume`.",
        {"since": pause.paused_at},
    )


def queue_paused(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its queue is paused."""
    if snapshot.job is None or snapshot.queue is None or not snapshot.queue.paused:
        return None
    return Finding(
        "queue_paused",
        f"Job {snapshot.id} is not claimed, because its queue {snapshot.job.queue} was "
        f"paused{_since(snapshot, snapshot.queue.paused_at)}.",
        f"Resume the queue: `pgjobs queues resume {argument(snapshot.job.queue)}`.",
        {"queue": snapshot.job.queue, "since": snapshot.queue.paused_at},
    )


def task_paused(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its task is paused."""
    job, pause = snapshot.job, snapshot.task_pause
    if job is None or (pause is None and job.held != "task"):
        return None
    name = (pause.task if pause else "") or job.task
    task = job.task if name == job.task else f"{job.task} (by {name})"
    return Finding(
        "task_paused",
        f"Job {snapshot.id} is not run, because its task {task} was "
        f"paused{_since(snapshot, pause.paused_at if pause else None)}.",
        f"Resume the task: `pgjobs tasks resume {argument(name)}`.",
        {"task": name, "since": pause.paused_at if pause else None},
    )


def _since(snapshot: Snapshot, moment: datetime | None) -> str:
    return "" if moment is None else f" {ago(snapshot.now, moment)}"
