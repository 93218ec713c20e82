"""Claimed jobs that run in one call. To executors a batch is a job like any other: it takes one slot.

Its own fields are those of its first job, so the slot's entry on the scoreboard names that one; the supervisor finds
the others by what they share with it (see `rescue.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby
from operator import attrgetter
from typing import Any

from pgjobs.flow.batch import BatchSpec
from pgjobs.jobs.halving import Search
from pgjobs.jobs.outcome import Outcome
from pgjobs.worker.local.claimed_job import ClaimedJob
from pgjobs.worker.runtime.job_claim import Claim

known: list[bool] = []  # not empty once a batch was made in this process


@dataclass(slots=True, eq=False)
class ClaimedBatch(ClaimedJob):
    """Jobs of one lane and one task that run together. `search`: what was learned from calls that failed.

    `ended`: the outcomes of those that are not part of the call, by their place: their payload was refused.
    """

    members: Sequence[ClaimedJob] = ()
    search: Search = field(default_factory=Search)
    ended: dict[int, Outcome] = field(default_factory=dict)
    call: Any = None  # what the payloads of the others have become

    def find(self, claim: Claim) -> ClaimedJob | None:
        """Return the job of this claim, if it is one of these."""
        return next((job for job in self.members if job.key() == claim), None)

    @property
    def together(self) -> list[ClaimedJob]:
        """The jobs that are part of the call, in the order of its items."""
        return [job for _, job in self.called()] if self.ended else list(self.members)

    def called(self) -> list[tuple[int, ClaimedJob]]:
        """Return the jobs that are part of the call, with their places."""
        return [(place, job) for place, job in enumerate(self.members) if place not in self.ended]


_FIELDS = [each.name for each in fields(ClaimedJob)]
_SENT = [name for name in _FIELDS if name not in ("local_queue", "exception", "function")]


def batch_of(jobs: Sequence[ClaimedJob], search: Search | None = None) -> ClaimedBatch:
    """Make a batch of these jobs. It may take as long as the one of them that may take longest."""
    if not known:
        known.append(True)
    batch = ClaimedBatch(
        **{name: getattr(jobs[0], name) for name in _FIELDS}, members=list(jobs), search=search or Search()
    )
    batch.completing = batch.releases = False
    timeouts = [job.timeout for job in jobs]
    batch.timeout = None if None in timeouts else max(filter(None, timeouts))
    return batch


def batches_of(jobs: Iterable[ClaimedJob]) -> Iterator[ClaimedBatch]:
    """Yield the batches of claimed jobs, which come lane by lane, each in its order.

    One that may have killed its worker is alone. A lane that was written by hand may have jobs of several tasks.
    """
    for (_, lane), in_lane in groupby(jobs, _LANE):
        spec = BatchSpec.of_lane(lane or "")
        groups: dict[tuple[Any, ...], list[ClaimedJob]] = defaultdict(list)
        for job in in_lane:
            groups[_TOGETHER(job)].append(job)
        for (_, _, isolate), group in groups.items():
            size = 1 if isolate or spec is None else spec.size
            for at in range(0, len(group), size):
                yield batch_of(group[at : at + size])


_LANE = attrgetter("priority", "lane")
_TOGETHER = attrgetter("task", "executor", "isolate")


def to_send(job: ClaimedJob) -> dict[str, Any]:
    """Return what a child process is told of a job, or of the jobs of a batch that are part of the call."""
    sent = {name: getattr(job, name) for name in _SENT}
    if isinstance(job, ClaimedBatch):
        sent |= {"members": [to_send(member) for _, member in job.called()], "search": job.search}
    return sent


def received(sent: dict[str, Any]) -> ClaimedJob:
    """Make a job, or a batch, of what a child process was sent."""
    if "members" not in sent:
        return ClaimedJob(local_queue=None, **sent)  # type: ignore[arg-type]  # it is the worker's
    members = [received(member) for member in sent.pop("members")]
    return ClaimedBatch(local_queue=None, members=members, **sent)  # type: ignore[arg-type]  # the same
