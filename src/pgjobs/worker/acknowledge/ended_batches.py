"""Batches that have ended, as the jobs that they are made of; and what runs again in parts."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import repeat

from pgjobs.jobs.halving import parts_of
from pgjobs.jobs.outcome import COMPLETED, INTERRUPTED, Divided, Outcome, Several
from pgjobs.worker.local.claimed_batch import ClaimedBatch, batch_of
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.local.local_queue import Ended

log = logging.getLogger("pgjobs.batches")


def opened(batch: Iterable[Ended]) -> list[Ended]:
    """Return ended jobs with those of batches one by one. What runs again in parts is put back into its inbox."""
    found: list[Ended] = []
    for ended in batch:
        if isinstance(ended[0], ClaimedBatch):
            found += _members(ended[0], *ended[1:])
        else:
            found.append(ended)
    return found


def _members(batch: ClaimedBatch, outcome: Outcome, seconds: float | None) -> list[Ended]:
    jobs = batch.members
    outcomes: Sequence[Outcome] = outcome.outcomes if isinstance(outcome, Several) else [outcome] * len(jobs)
    batch.local_queue.record_batch(1 - len(jobs))
    if not batch.completing and outcomes.count(COMPLETED) == len(jobs):  # as most end
        return list(zip(jobs, outcomes, repeat(seconds)))
    ended: list[Ended] = []
    again: list[Ended] = []
    shared: dict[Outcome, Divided] = {}
    for place, (job, each) in enumerate(zip(jobs, outcomes, strict=True)):
        job.completing = batch.completing and place not in batch.ended
        job.releases = batch.releases and job.completing
        if isinstance(each, Divided):
            divided = shared.setdefault(each, Divided(each.error, each.parts, batch.search))
            (ended if job.completing else again).append((job, divided, seconds))
        else:
            ended.append((job, each, seconds))
    return ended + run_again(again)


def run_again(jobs: Iterable[Ended]) -> list[Ended]:
    """Put jobs whose batches are divided into their inboxes, in parts. Those of queues that close are handed back."""
    groups: dict[Divided, list[Ended]] = defaultdict(list)
    left: list[Ended] = []
    for ended in jobs:
        job, outcome, seconds = ended
        if job.local_queue.closing:
            left.append((job, INTERRUPTED, seconds))
        elif isinstance(outcome, Divided):
            groups[outcome].append(ended)
    for divided, some in groups.items():
        _divide(divided, [job for job, _, _ in some])
    return left


def _divide(divided: Divided, jobs: list[ClaimedJob]) -> None:
    local_queue = jobs[0].local_queue
    for job in jobs:
        job.completing = job.releases = False
    parts = [batch_of(part, divided.search) for part in parts_of(jobs, divided.parts)]
    log.info(
        "queue %s: a batch of %d jobs of %s failed, and runs again in %d parts: %s",
        *(local_queue.name, len(jobs), jobs[0].task, len(parts), divided.error),
    )
    local_queue.record_batch(len(jobs) - len(parts))
    local_queue.inbox.put_first(parts)
