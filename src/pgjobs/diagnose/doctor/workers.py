"""What can be wrong with workers: silent, of several versions, missing, or gone while they ran jobs."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs.core.text import duration, listed, plural
from pgjobs.diagnose.doctor.installation import Installation, QueueState
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.text import serve, waiting_sentence, waiting_step

DUE_FOR = 60.0  # seconds
# Reasons of `why` against which more workers help; and those against which they do not. Some others, such as a pause,
# are found by themselves, and what has ended meanwhile is not due.
LACK_OF_WORKERS = frozenset(("awaited", "turn", "behind", "busy", "next"))
HELD_UP = frozenset(
    (
        *("sequence_ending", "sequence_blocked", "sequence", "breaker_open", "breaker_half_open", "limit", "rate"),
        *("queue_limit", "queue_rate", "key_locked", "task_paused", "needs", "snapshot_held", "not_claiming"),
    )
)


def silent(installation: Installation) -> Iterator[Finding]:
    """Look for workers that are not heard from."""
    found = [worker for worker in installation.workers if not worker.is_heard]
    if not found:
        return
    shown = listed([f"{worker}, {duration(worker.silent_for)}" for worker in found], 3)
    if installation.heard():
        step = "Wait: others take their jobs back; if those machines are up, look whether they reach PostgreSQL."
    else:
        step = "Start a worker: it takes their jobs back. If those machines are up, look whether they reach PostgreSQL."
    yield Finding(
        "silent_workers",
        f"{plural(len(found), 'worker')} {'is' if len(found) == 1 else 'are'} not heard from: {shown}.",
        step,
        {"workers": {worker.id: worker.silent_for for worker in found}},
        level="warning",
    )


def versions(installation: Installation) -> Iterator[Finding]:
    """Check whether all run the same version."""
    found = sorted({worker.version for worker in installation.heard()} - {installation.version})
    if found:
        yield Finding(
            "versions",
            f"Workers run other versions of pgjobs ({listed(found)}) than this machine ({installation.version}).",
            "Deploy one version; while a deployment is under way, nothing.",
            {"versions": sorted({worker.version for worker in installation.heard()}), "here": installation.version},
            level="note",
        )


def orphans(installation: Installation) -> Iterator[Finding]:
    """Look for jobs that run nowhere."""
    if not installation.orphans:
        return
    yield Finding(
        "orphans",
        f"{plural(installation.orphans, 'job')} {'is' if installation.orphans == 1 else 'are'} running according to "
        f"the table, for workers that are no longer in it ({listed(installation.orphan_workers)}).",
        "Wait: supervisors look for such jobs every ten minutes"
        + ("." if installation.heard() else ", and one that starts at once."),
        {"jobs": installation.orphans, "workers": list(installation.orphan_workers)},
        level="warning",
    )


def broadcasts(installation: Installation) -> Iterator[Finding]:
    """Look for broadcasts that do not end."""
    for run in installation.broadcasts:
        seconds, behind = float(run["seconds"]), run["behind"]
        waits = (
            f", and {plural(behind, 'other broadcast')} {'waits' if behind == 1 else 'wait'} for it" if behind else ""
        )
        yield Finding(
            "slow_broadcast",
            f"Broadcast {run['id']} ({run['task']}) has run for {duration(seconds)} in worker {run['worker']} "
            f"(process {run['pid']} on {run['host']}){waits}.",
            f"Look what the function waits for, and give it a timeout; `kill {run['pid']}` on {run['host']} has the "
            "process finish its jobs and replaced.",
            {"broadcast": run["id"], "worker": run["worker"], "seconds": seconds, "behind": behind},
            level="warning",
        )


def unserved(installation: Installation) -> Iterator[Finding]:
    """Look for queues with due jobs and no worker, with too few, or with jobs that wait for something else."""
    for queue in installation.queues:
        if queue.due_for is None or queue.paused:
            continue
        serving = [worker for worker in installation.heard() if queue.name in worker.queues]
        if not serving:
            yield Finding(
                "no_worker",
                f"Queue {queue.name} has jobs that are due, for {duration(queue.due_for)}, and no worker listens to "
                "it.",
                f"Start one: {serve(queue.name)}; or correct the name of the queue where jobs are enqueued.",
                {"queue": queue.name, "due_seconds": queue.due_for},
                level="warning",
            )
        elif max(worker.up_for or DUE_FOR for worker in serving) >= DUE_FOR:  # else they have only begun
            yield from _late(queue)


def awaited(installation: Installation) -> Iterator[Finding]:
    """Look for full queues in which running jobs wait for others of the same queue."""
    for job in installation.awaited:
        slots = sum(worker.queues.get(job.queue, 0) for worker in installation.heard())
        if 0 < slots <= job.running:
            yield Finding(
                "awaited",
                waiting_sentence(job.queue, job.id, job.waiters),
                waiting_step(job.queue),
                {"queue": job.queue, "id": job.id, "waiters": list(job.waiters), "slots": slots},
                level="warning",
            )


def _late(queue: QueueState) -> Iterator[Finding]:
    """Report what has been due for long: the oldest job that lacks a worker, and one that waits for something else."""
    late = sorted((job for job in queue.due if job.due_for >= queue.late_after(DUE_FOR)), key=lambda job: -job.due_for)
    lacking = [job for job in late if job.why is None or job.why.reason in LACK_OF_WORKERS]
    if lacking:
        first = lacking[0]
        sentence = f"The oldest due job of queue {queue.name} has been due for {duration(first.due_for)}"
        more = f"Start more workers or slots ({serve(queue.name, more=True)})"
        step = f"{more}; `pgjobs why {first.id}` says what holds it up."
        facts = {"queue": queue.name, "id": first.id, "due_seconds": first.due_for}
        if queue.sla is None:
            yield Finding("latency", f"{sentence}.", step, facts, level="note")
        else:
            sentence += f", and its SLA is {duration(queue.sla)}."
            yield Finding("sla", sentence, step, {**facts, "sla": queue.sla}, level="warning")
    for job in late:
        if job.why is not None and job.why.reason in HELD_UP:
            yield Finding(
                "held_up",
                f"A job of queue {queue.name} has been due for {duration(job.due_for)}, and more workers would not "
                f"help: {job.why.sentence}",
                job.why.next_step,
                {"queue": queue.name, "id": job.id, "due_seconds": job.due_for, "reason": job.why.reason},
                level="note",
            )
            return
