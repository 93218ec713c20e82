"""The order in which reasons are looked at: the first that holds is the answer.

First the final reasons, then what the job itself waits for (time, other jobs, a resume), then whether
there is a worker to run it, then what shares things with it, and last its place in the queue. Of the reasons that hold
a job up several can hold at once; the others are listed beside the first.
"""

from __future__ import annotations

from collections.abc import Callable

from pgjobs.diagnose.finding import Finding, Why
from pgjobs.diagnose.why import ended, not_ready, paused, pipeline, queue, running, turns, workflow
from pgjobs.diagnose.why.snapshot import Snapshot

Check = Callable[[Snapshot], Finding | None]
ENDS: tuple[Check, ...] = (
    ended.never,
    ended.uncommitted,
    ended.gone,
    ended.completed,
    ended.failed,
    ended.cancelled,
    running.orphaned,
    running.silent,
    running.awaits,
    running.running,
)
HOLDS: tuple[Check, ...] = (
    not_ready.expired,
    not_ready.cannot_be_imported,
    not_ready.retried,
    workflow.signal,
    workflow.asleep,
    not_ready.later,
    workflow.needs,
    not_ready.needs,
    workflow.paused,
    pipeline.paused,
    paused.everything_paused,
    paused.queue_paused,
    paused.task_paused,
    queue.no_worker,
    queue.workers_silent,
    turns.ending,
    turns.blocked,
    turns.sequence,
    pipeline.no_room,
    turns.breaker_open,
    turns.breaker_half_open,
    turns.limit,
    turns.rate,
    turns.queue_limit,
    turns.queue_rate,
    turns.key_locked,
    turns.batch,
)
PLACES: tuple[Check, ...] = (
    queue.snapshot_held,
    queue.not_claiming,
    running.awaited,
    queue.turn,
    queue.behind,
    queue.busy,
    queue.soon,
)


def decide(snapshot: Snapshot) -> Why:
    """Return why the job does not run, or how it ended."""
    for check in ENDS:
        if answer := check(snapshot):
            return _as_why(snapshot, answer)
    holding = [answer for check in HOLDS if (answer := check(snapshot))]
    if not holding:
        holding = [next(answer for check in PLACES if (answer := check(snapshot)))]
    return _as_why(snapshot, holding[0], tuple(holding[1:]))


def _as_why(snapshot: Snapshot, answer: Finding, also: tuple[Finding, ...] = ()) -> Why:
    return Why(snapshot.id, answer.name, answer.sentence, answer.next_step, answer.facts, also)
