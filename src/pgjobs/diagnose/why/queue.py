"""Reasons that lie in the queue and its workers: nobody is there, nobody moves, or others come first."""

from __future__ import annotations

from pgjobs.core.text import duration as span
from pgjobs.core.text import listed
from pgjobs.core.text import plural as count
from pgjobs.diagnose.why.answer import Finding
from pgjobs.diagnose.why.running import rescued_in
from pgjobs.diagnose.why.snapshot import Holder, Snapshot
from pgjobs.diagnose.why.words import jobs

DEAF_AFTER = 5.0  # seconds for which a job is due with free slots, before somebody must be deaf; polls take one
OLD_SNAPSHOT = 60.0  # seconds
MANY_DEAD_ROWS = 50_000


def no_worker(s: Snapshot) -> Finding | None:
    """Tell that no worker listens to its queue."""
    job = s.job
    if job is None or s.serving():
        return None
    others = sorted({name for worker in s.workers for name in worker.queues})
    listening = f"those that run listen to {listed(others, 8)}" if others else "no worker runs at all"
    return Finding(
        "no_worker",
        f"Job {s.id} waits because no worker listens to its queue {job.queue}; {listening}.",
        f"Start one: `pgjobs work -q {job.queue}`.",
        {"queue": job.queue, "queues_with_workers": others},
    )


def workers_silent(s: Snapshot) -> Finding | None:
    """Tell that all workers of its queue are silent."""
    job, serving = s.job, s.serving()
    if job is None or not serving or any(worker.is_heard for worker in serving):
        return None
    last = min(serving, key=lambda worker: worker.silent_for)
    left = rescued_in(s, last)
    return Finding(
        "workers_silent",
        f"Job {s.id} waits because no worker of its queue {job.queue} is heard from: the last one was {last}, "
        f"{span(last.silent_for)} ago.",
        f"Start one: `pgjobs work -q {job.queue}`; or look whether that machine reaches PostgreSQL.",
        {"workers": [worker.id for worker in serving], "silent_seconds": last.silent_for, "rescued_in_seconds": left},
    )


def snapshot_held(s: Snapshot) -> Finding | None:
    """Tell that vACUUM may not take the dead rows away, and claims wade through them."""
    holder = oldest(s.snapshots)
    if s.job is None or holder is None or s.dead_rows < MANY_DEAD_ROWS:
        return None
    if s.cap and not _is_stuck(s):  # without a cap, counting took too long
        return None
    since = f" for {span(holder.seconds)}" if holder.seconds is not None else ""
    return Finding(
        "snapshot_held",
        f"Job {s.id} waits because claims wade through {count(s.dead_rows, 'dead row')}, which VACUUM may not remove: "
        f"{holder} holds a snapshot{since}.",
        f"End it, if it may end: {holder.end}.",
        {
            "kind": holder.kind,
            "pid": holder.pid,
            "application": holder.name,
            "seconds": holder.seconds,
            "dead_rows": s.dead_rows,
        },
    )


def oldest(holders: tuple[Holder, ...]) -> Holder | None:
    """Give who has held a snapshot for long enough to matter, the oldest one; of slots nobody knows for how long."""
    old = [holder for holder in holders if holder.seconds is None or holder.seconds >= OLD_SNAPSHOT]
    return max(old, key=lambda holder: holder.transactions or 0, default=None)


def deaf(s: Snapshot) -> Finding | None:
    """Tell that there are free slots, and nobody claims."""
    if s.job is None or not _is_stuck(s):
        return None
    workers = [worker for worker in s.serving() if worker.is_heard]
    pooled = [worker for worker in workers if worker.pooled]
    due = (s.now - s.job.run_at).total_seconds()
    what = (
        f"Job {s.id} has been due for {span(due)} and nobody claims it, though {count(s.free_slots(), 'slot')} of its "
        f"queue {s.job.queue} are free at {listed([str(worker) for worker in workers], 3)}"
    )
    facts = {"due_seconds": due, "workers": [worker.id for worker in workers], "pooled": bool(pooled)}
    if pooled:
        return Finding(
            "deaf",
            f"{what}, behind a connection pooler.",
            "Look whether the pooler has a free connection for them (SHOW POOLS), or connect workers past it.",
            facts,
        )
    return Finding(
        "deaf",
        f"{what}.",
        f"Look at the log of {workers[0]}, and whether it is stopped or can not reach PostgreSQL; then restart it.",
        facts,
    )


def _is_stuck(s: Snapshot) -> bool:
    """Say whether there are free slots, and nothing was claimed for a while although this job, or others, were due."""
    if s.job is None or s.cap == 0 or s.free_slots() <= 0:
        return False
    lately = [seconds for seconds in (s.last_start, s.last_finish) if seconds is not None]
    if (s.now - s.job.run_at).total_seconds() < DEAF_AFTER or min(lately, default=DEAF_AFTER) < DEAF_AFTER:
        return False
    return s.ahead == 0 or s.rate is not None  # else nobody sees what finishes


def turn(s: Snapshot) -> Finding | None:
    """Tell that it takes turns with others."""
    if s.job is None or s.job.lane is None or not (s.turn_before or s.turn_lanes):
        return None
    mine = f"its tenant {s.job.tenant}" if s.job.tenant else "its kind"
    if s.turn_before:
        place = f"{count(s.turn_before, 'job', cap=s.cap)} of {mine} {'is' if s.turn_before == 1 else 'are'} before it"
    else:
        place = f"it is the next of {mine}"
    others = f"{count(s.turn_lanes, 'other', cap=1000)} take{'s' * (s.turn_lanes == 1)} turns with it"
    return Finding(
        "turn",
        f"Job {s.id} waits for its turn: {place}, and {others}.",
        f"Wait, or start more workers of queue {s.job.queue}.",
        {"tenant": s.job.tenant or None, "before": s.turn_before, "others": s.turn_lanes},
    )


def behind(s: Snapshot) -> Finding | None:
    """Tell that others were due sooner, or are more urgent."""
    if s.job is None or not s.ahead:
        return None
    if s.rate is None:
        pace = "how fast it goes is not known, as the queue keeps nothing that completes"
    elif s.rate == 0:
        pace = "none of its queue has finished in the last minute"
    else:
        least = "at least " if s.ahead >= s.cap else ""
        pace = f"at the {s.rate:.3g} jobs/s of the last minute that is {least}about {span(s.ahead / s.rate)}"
    return Finding(
        "behind",
        f"Job {s.id} is behind {count(s.ahead, 'job', cap=s.cap)} of its queue {s.job.queue} that "
        f"{'has' if s.ahead == 1 else 'have'} a higher priority or {'was' if s.ahead == 1 else 'were'} due earlier; "
        f"{pace}.",
        f"Wait, start more workers or slots (`pgjobs work -q {s.job.queue}:N`), or give it a priority nearer to 0.",
        {"ahead": s.ahead, "rate_per_second": s.rate, "seconds": s.ahead / s.rate if s.rate else None},
    )


def busy(s: Snapshot) -> Finding | None:
    """Tell that all slots are taken."""
    if s.job is None or s.cap == 0 or s.free_slots() > 0:
        return None
    return Finding(
        "busy",
        f"Job {s.id} is the next of its queue {s.job.queue}, and {'all' if s.slots() > 1 else 'the'} "
        f"{count(s.slots(), 'slot')} of its workers {'are' if s.slots() > 1 else 'is'} taken, by "
        f"{jobs(s.running_ids)}.",
        f"Wait for one to end, or start more workers or slots: `pgjobs work -q {s.job.queue}:N`.",
        {"slots": s.slots(), "running": s.running, "ids": list(s.running_ids)},
    )


def soon(s: Snapshot) -> Finding:
    """Tell that nothing holds it up."""
    due = (s.now - s.job.run_at).total_seconds() if s.job is not None else 0.0
    return Finding(
        "next",
        f"Job {s.id} has been due for {span(due)}, and nothing holds it up: a worker takes it in a moment.",
        "Wait; if it is still there in some seconds, ask again.",
        {"due_seconds": due},
    )
