"""Never too many at once, and never too many starts in a period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from math import inf
from typing import Any

from tests.system.stress.audit.fault import Fault
from tests.system.stress.trace import Histories, Run, Span, Timeline, timelines

SLACK = 1.0  # seconds in which a setting that was changed still counts: a claim that saw it may not be committed
Value = dict[str, Any]


class Limits:
    """The settings of limits over time, and which of them a key has."""

    def __init__(self, histories: Histories) -> None:
        self.keys = timelines(histories.trace, "limits")
        self.queues = timelines(histories.trace, "queues")

    def of_key(self, key: str, since: float, until: float) -> list[Value | None]:
        """List the settings that held for a key in this time; None: there was none."""
        own = self.keys.get(key, Timeline([])).values(since, until)
        pattern = self.keys.get(key.rpartition(":")[0] + ":*", Timeline([])).values(since, until)
        return [value for value in own if value is not None] + (pattern if None in own else [])

    def of_queue(self, queue: str, since: float, until: float) -> list[Value | None]:
        return self.queues.get(queue, Timeline([])).values(since, until)


def most(values: list[Value | None]) -> float:
    """Return how many may run at once under the widest of these settings."""
    return max(inf if value is None or value["concurrency"] is None else value["concurrency"] for value in values)


def slots_by_rows(histories: Histories) -> list[Fault]:
    """Find claims that exceed a limit, by the rows that run."""
    limits = Limits(histories)
    found: list[Fault] = []
    by_limit: dict[str, list[Span]] = defaultdict(list)
    by_queue: dict[str, list[Span]] = defaultdict(list)
    for span in histories.claims:
        if span.move.limit_key is not None:
            by_limit[span.move.limit_key].append(span)
        by_queue[span.move.queue].append(span)
    for key, spans in by_limit.items():
        found += _too_many("slots of a limit", key, spans, limits.of_key)
    for queue, spans in by_queue.items():
        found += _too_many("slots of a queue", queue, spans, limits.of_queue)
    return found


def slots_by_word(histories: Histories) -> list[Fault]:
    """Find runs that exceed a limit, by the jobs' own word. A run is over when its claim is taken away, too."""
    limits = Limits(histories)
    by_limit: dict[str, list[Span]] = defaultdict(list)
    for run, claim in claimed_runs(histories):
        if claim.move.limit_key is not None:
            ends = [at for at in (run.ended, claim.until) if at is not None]
            ended = min(ends) if ends else None
            by_limit[claim.move.limit_key].append(
                claim._replace(since=max(run.began, claim.since), until=ended, since_xid=-1, until_xid=-1)
            )
    claimed = {(span.job, span.claim): span for span in histories.claims}
    return [
        fault
        for key, spans in by_limit.items()
        for fault in _too_many("slots by the jobs' own word", key, spans, limits.of_key, claimed)
    ]


def claimed_runs(histories: Histories) -> list[tuple[Run, Span]]:
    """Return runs with the claims under which they ran.

    A worker that was stopped may begin a run when its claim has been taken away: that one does not count.
    """
    claims = {(span.job, span.claim): span for span in histories.claims}
    found = ((run, claims.get((run.job, run.claim))) for run in histories.trace.runs)
    return [
        (run, claim) for run, claim in found if claim is not None and (claim.until is None or run.began < claim.until)
    ]


def _too_many(
    invariant: str,
    key: str,
    spans: list[Span],
    settings: Callable[[str, float, float], list[Value | None]],
    claimed: dict[tuple[int, int], Span] | None = None,
) -> list[Fault]:
    """Count what runs whenever something begins. Of one transaction, ends come first: it hands slots over."""
    found = []
    running: dict[tuple[int, int], Span] = {}
    for at, is_start, span in _moments(spans):
        if not is_start:
            running.pop((span.job, span.claim), None)
            continue
        running[span.job, span.claim] = span
        last = span if claimed is None else max((claimed[one] for one in running), key=lambda claim: claim.since)
        allowed = most(settings(key, last.began - SLACK, last.since))
        if len(running) > allowed:
            jobs = tuple(job for job, _ in running)
            found.append(Fault(invariant, f"{len(running)} at once, {allowed:g} allowed", at, key, jobs))
    return found


def _moments(spans: list[Span]) -> list[tuple[float, bool, Span]]:
    ends = [(span.until, False, span) for span in spans if span.until is not None]
    starts = [(span.since, True, span) for span in spans]
    return sorted([*ends, *starts], key=lambda moment: (moment[0], moment[1]))


def rates_hold(histories: Histories) -> list[Fault]:
    """Find claims that a token bucket with these settings would not have let through."""
    limits = Limits(histories)
    by_limit: dict[str, list[Span]] = defaultdict(list)
    by_queue: dict[str, list[Span]] = defaultdict(list)
    for span in histories.claims:
        if span.move.limit_key is not None:
            by_limit[span.move.limit_key].append(span)
        by_queue[span.move.queue].append(span._replace(move=span.move._replace(cost=1.0)))
    return [fault for key, spans in by_limit.items() for fault in _too_fast(key, spans, limits.of_key)] + [
        fault for queue, spans in by_queue.items() for fault in _too_fast(queue, spans, limits.of_queue)
    ]


def _too_fast(key: str, spans: list[Span], settings: Callable[[str, float, float], list[Value | None]]) -> list[Fault]:
    found = []
    tokens, before, known = inf, 0.0, None
    for span in spans:
        values = settings(key, span.began - SLACK, span.since)
        value = values[-1]
        if any(one != value for one in values) or value is None or value["rate"] is None or value != known:
            tokens, before, known = inf, span.began, value if all(one == value for one in values) else None
            continue
        second = value["rate"] / value["seconds"]
        burst = value["burst"] or value["rate"]
        cost = span.move.cost or 1.0
        tokens = min(burst, tokens + max(0.0, span.began - before) * second)
        before = max(before, span.began)
        if tokens + second * SLACK < min(cost, 1.0):
            found.append(Fault("rate", f"{tokens:.2f} tokens were left", span.since, key, (span.job,)))
        tokens -= cost
    return found
