"""Reasons of workflows: what a step waits for, a pause of all of it, and signals and sleeps, in any job."""

from __future__ import annotations

from pgjobs.core.text import duration, listed
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.text import at
from pgjobs.diagnose.why.snapshot import NeedSnapshot, Snapshot


def needs(snapshot: Snapshot) -> Finding | None:
    """Return a finding if other steps have to end before."""
    job, step = snapshot.job, snapshot.step
    if job is None or job.held != "needs" or step is None:
        return None
    lost = [need for need in snapshot.needs if need.status in ("failed", "cancelled")]
    shown = listed([f"{need.step or 'job'} ({_state(need)})" for need in lost or snapshot.needs], 3)
    left, needed = job.needs or len(snapshot.needs), max(step.needed, job.needs or 0)
    what = (
        f"Job {snapshot.id}, the step {step.name} of workflow {step.workflow} ({step.workflow_name}), waits for "
        f"{'step' if len(lost or snapshot.needs) == 1 else 'steps'} {shown or 'that are not there'}; {left:,} of "
        f"{needed:,} {'is' if left == 1 else 'are'} left."
    )
    next_step = f"Wait for them, or see `pgjobs workflows show {step.workflow}`."
    if lost:
        way = "dead replay" if lost[0].letter else "jobs retry"
        next_step = (
            f"Once the cause is fixed: `pgjobs {way} {lost[0].id}`, or all that failed: `pgjobs workflows retry "
            f"{step.workflow}`."
        )
    return Finding("step_needs", what, next_step, {"needs": {str(need.id): need.status for need in snapshot.needs}})


def paused(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its workflow is paused."""
    job, step = snapshot.job, snapshot.step
    if job is None or job.held != "workflow":
        return None
    name = "its workflow" if step is None else f"workflow {step.workflow} ({step.workflow_name})"
    number = "ID" if step is None else step.workflow
    return Finding(
        "workflow_paused",
        f"Job {snapshot.id} does not start, because {name} is paused.",
        f"Resume it: `pgjobs workflows resume {number}`.",
        {"workflow": None if step is None else step.workflow},
    )


def signal(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it waits for a signal."""
    job, wait = snapshot.job, snapshot.wait
    if job is None or wait is None or wait.signal is None or job.run_at <= snapshot.now:
        return None
    until = "" if wait.until is None else f", for {duration((wait.until - snapshot.now).total_seconds())} at most"
    return Finding(
        "signal",
        f"Job {snapshot.id} waits for the signal {wait.signal!r}{until}.",
        f"Send it: `signal(conn, {snapshot.id}, {wait.signal!r}, …)`, or to its workflow `pgjobs workflows signal`.",
        {"signal": wait.signal, "until": wait.until},
    )


def asleep(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it sleeps."""
    job, wait = snapshot.job, snapshot.wait
    if job is None or wait is None or wait.signal is not None or job.run_at <= snapshot.now:
        return None
    return Finding(
        "asleep",
        f"Job {snapshot.id} sleeps until {at(job.run_at)}.",
        f"Wait. `pgjobs jobs retry {snapshot.id}` only makes it look at the time again.",
        {"until": job.run_at},
    )


def _state(need: NeedSnapshot) -> str:
    if need.letter:
        return f"dead letter {need.id}"
    return f"job {need.id}, {need.status or 'no longer there'}"
