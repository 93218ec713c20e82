"""Reasons of the queue and its workers: there is no worker, none claims, or other jobs come first."""

from __future__ import annotations

from pgjobs.core.text import duration, listed, plural
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.rows import Holder
from pgjobs.diagnose.text import jobs, serve
from pgjobs.diagnose.why.running import rescued_in
from pgjobs.diagnose.why.snapshot import Snapshot

NOT_CLAIMING_AFTER = 5.0  # seconds that a job is due beside free slots of a worker; workers poll once a second
OLD_SNAPSHOT = 60.0  # seconds
MANY_DEAD_ROWS = 50_000


def no_worker(snapshot: Snapshot) -> Finding | None:
    """Return a finding if no worker listens to its queue."""
    job = snapshot.job
    if job is None or snapshot.serving():
        return None
    others = sorted({name for worker in snapshot.workers for name in worker.queues})
    listening = f"those that run listen to {listed(others, 8)}" if others else "no worker runs at all"
    return Finding(
        "no_worker",
        f"Job {snapshot.id} waits because no worker listens to its queue {job.queue}; {listening}.",
        f"Start one: {serve(job.queue)}.",
        {"queue": job.queue, "queues_with_workers": others},
    )


def workers_silent(snapshot: Snapshot) -> Finding | None:
    """Return a finding if all workers of its queue are silent."""
    job, serving = snapshot.job, snapshot.serving()
    if job is None or not serving or any(worker.is_heard for worker in serving):
        return None
    last = min(serving, key=lambda worker: worker.silent_for)
    left = rescued_in(snapshot, last)
    return Finding(
        "workers_silent",
        f"Job {snapshot.id} waits because no worker of its queue {job.queue} is heard from: the last one was {last}, "
        f"{duration(last.silent_for)} ago.",
        f"Start one: {serve(job.queue)}; or look whether that machine reaches PostgreSQL.",
        {"workers": [worker.id for worker in serving], "silent_seconds": last.silent_for, "rescued_in_seconds": left},
    )


def snapshot_held(snapshot: Snapshot) -> Finding | None:
    """Return a finding if VACUUM may not remove dead rows, and claims have to read them."""
    holder = oldest(snapshot.snapshots)
    if snapshot.job is None or holder is None or snapshot.dead_rows < MANY_DEAD_ROWS:
        return None
    if snapshot.cap and not _is_stuck(snapshot):  # without a cap, counting took too long
        return None
    since = f" for {duration(holder.seconds)}" if holder.seconds is not None else ""
    return Finding(
        "snapshot_held",
        f"Job {snapshot.id} waits because claims wade through {plural(snapshot.dead_rows, 'dead row')}, which VACUUM "
        f"may not remove: {holder} holds a snapshot{since}.",
        f"End it, if it may end: {holder.end}.",
        {
            "kind": holder.kind,
            "pid": holder.pid,
            "application": holder.name,
            "seconds": holder.seconds,
            "dead_rows": snapshot.dead_rows,
        },
    )


def oldest(holders: tuple[Holder, ...]) -> Holder | None:
    """Return the oldest holder of a snapshot that is old enough to matter. The age of slots is not known."""
    old = [holder for holder in holders if holder.seconds is None or holder.seconds >= OLD_SNAPSHOT]
    return max(old, key=lambda holder: holder.transactions or 0, default=None)


def not_claiming(snapshot: Snapshot) -> Finding | None:
    """Return a finding if there are free slots, and no worker claims."""
    if snapshot.job is None or not _is_stuck(snapshot):
        return None
    workers = [worker for worker in snapshot.serving() if worker.is_heard]
    pooled = [worker for worker in workers if worker.pooled]
    due = (snapshot.now - snapshot.job.run_at).total_seconds()
    what = (
        f"Job {snapshot.id} has been due for {duration(due)} and no worker claims it, though "
        f"{plural(snapshot.free_slots(), 'slot')} of its queue {snapshot.job.queue} are free at "
        f"{listed([str(worker) for worker in workers], 3)}"
    )
    facts = {"due_seconds": due, "workers": [worker.id for worker in workers], "pooled": bool(pooled)}
    if pooled:
        return Finding(
            "not_claiming",
            f"{what}, behind a connection pooler.",
            "Look whether the pooler has a free connection for them (SHOW POOLS), or connect workers past it.",
            facts,
        )
    return Finding(
        "not_claiming",
        f"{what}.",
        f"Look at the log of {workers[0]}, and whether it is stopped or cannot reach PostgreSQL; then restart it.",
        facts,
    )


def _is_stuck(snapshot: Snapshot) -> bool:
    """Return True if there are free slots, and no job was claimed for a while although some were due."""
    if snapshot.job is None or snapshot.cap == 0 or snapshot.free_slots() <= 0:
        return False
    lately = [seconds for seconds in (snapshot.last_start, snapshot.last_finish) if seconds is not None]
    passed = [(snapshot.now - snapshot.job.run_at).total_seconds(), *lately]
    up = [worker.up_for for worker in snapshot.serving() if worker.is_heard and worker.up_for is not None]
    if up:
        passed.append(max(up))  # none of them could claim before
    if min(passed) < NOT_CLAIMING_AFTER:
        return False
    return snapshot.ahead == 0 or snapshot.rate is not None  # else the jobs that finish cannot be counted


def turn(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it takes turns with others."""
    if snapshot.job is None or snapshot.job.lane is None or not (snapshot.turn_before or snapshot.turn_lanes):
        return None
    mine = f"its tenant {snapshot.job.tenant}" if snapshot.job.tenant else "its kind"
    if snapshot.turn_before:
        verb = "is" if snapshot.turn_before == 1 else "are"
        place = f"{plural(snapshot.turn_before, 'job', cap=snapshot.cap)} of {mine} {verb} before it"
    else:
        place = f"it is the next of {mine}"
    others = f"{plural(snapshot.turn_lanes, 'other', cap=1000)} take{'s' * (snapshot.turn_lanes == 1)} turns with it"
    return Finding(
        "turn",
        f"Job {snapshot.id} waits for its turn: {place}, and {others}.",
        f"Wait, or start more workers of queue {snapshot.job.queue}.",
        {"tenant": snapshot.job.tenant or None, "before": snapshot.turn_before, "others": snapshot.turn_lanes},
    )


def behind(snapshot: Snapshot) -> Finding | None:
    """Return a finding if others were due sooner, or are more urgent."""
    if snapshot.job is None or not snapshot.ahead:
        return None
    if snapshot.rate is None:
        pace = "how fast it goes is not known, as the queue keeps nothing that completes"
    elif snapshot.rate == 0:
        pace = "none of its queue has finished in the last minute"
    else:
        least = "at least " if snapshot.ahead >= snapshot.cap else ""
        left = duration(snapshot.ahead / snapshot.rate)
        pace = f"at the {snapshot.rate:.3g} jobs/s of the last minute that is {least}about {left}"
    return Finding(
        "behind",
        f"Job {snapshot.id} is behind {plural(snapshot.ahead, 'job', cap=snapshot.cap)} of its queue "
        f"{snapshot.job.queue} that {'has' if snapshot.ahead == 1 else 'have'} a higher priority or "
        f"{'was' if snapshot.ahead == 1 else 'were'} due earlier; {pace}.",
        f"Wait, start more workers or slots ({serve(snapshot.job.queue, more=True)}), or give it a priority nearer "
        "to 0.",
        {
            "ahead": snapshot.ahead,
            "rate_per_second": snapshot.rate,
            "seconds": snapshot.ahead / snapshot.rate if snapshot.rate else None,
        },
    )


def busy(snapshot: Snapshot) -> Finding | None:
    """Return a finding if all slots are taken."""
    if snapshot.job is None or snapshot.cap == 0 or snapshot.free_slots() > 0:
        return None
    return Finding(
        "busy",
        f"Job {snapshot.id} is the next of its queue {snapshot.job.queue}, and "
        f"{'all' if snapshot.slots() > 1 else 'the'} {plural(snapshot.slots(), 'slot')} of its workers "
        f"{'are' if snapshot.slots() > 1 else 'is'} taken, by {jobs(snapshot.running_ids)}.",
        f"Wait for one to end, or start more workers or slots: {serve(snapshot.job.queue, more=True)}.",
        {"slots": snapshot.slots(), "running": snapshot.running, "ids": list(snapshot.running_ids)},
    )


def soon(snapshot: Snapshot) -> Finding:
    """Return a finding if nothing holds it up."""
    due = (snapshot.now - snapshot.job.run_at).total_seconds() if snapshot.job is not None else 0.0
    return Finding(
        "next",
        f"Job {snapshot.id} has been due for {duration(due)}, and nothing holds it up: a worker takes it in a moment.",
        "Wait; if it is still there in some seconds, ask again.",
        {"due_seconds": due},
    )
