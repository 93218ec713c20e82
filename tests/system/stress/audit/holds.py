"""What is paused, open or expired starts nothing; and nothing runs without a claim."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from math import inf
from typing import Any

from tests.system.stress.audit.fault import Fault
from tests.system.stress.trace import Histories, Span, Timeline, timelines

SLACK = 1.0  # seconds: a claim may not have seen what had just been committed
TASK_SLACK = 3.0  # seconds until workers have noticed that a task is paused
LASTS = 15.0  # seconds after a fault in which a worker may run what is no longer its own
TAKES_CLAIMS = ("stop worker", "stop host", "server immediate", "server killed", "server fast", "cut connections")


def pauses_hold(histories: Histories) -> list[Fault]:
    """Find claims from a paused queue, or while everything is paused; and runs of a paused task."""
    found = []
    queues = timelines(histories.trace, "queues")
    switch = timelines(histories.trace, "switch").get("")
    tasks = timelines(histories.trace, "paused_tasks")
    for claim in histories.claims:
        for name, line in ((claim.move.queue, queues.get(claim.move.queue)), ("everything", switch)):
            values = [] if line is None else line.values(claim.began - SLACK, claim.since)
            if values and all(value is not None and value["paused"] for value in values):
                found.append(Fault("pause", "claimed while it was paused", claim.since, name, (claim.job,)))
    for run in histories.trace.runs:
        states = histories.jobs.get(run.job)
        line = tasks.get(states[0].move.task) if states else None
        values = [None] if line is None else line.values(run.began - TASK_SLACK, run.began)
        if all(value is not None for value in values) and not _struck(histories, run.began):
            found.append(Fault("pause", "it began although its task was paused", run.began, "", (run.job,)))
    return found


def breakers_hold(histories: Histories) -> list[Fault]:
    """Find claims behind a breaker that was open."""
    found = []
    breakers = timelines(histories.trace, "breakers")
    for claim in histories.claims:
        line = breakers.get(claim.move.breaker or "")
        values = [] if line is None else line.values(claim.began - SLACK, claim.since)
        if values and all(v is not None and v["state"] == "open" and v["until"] > claim.since for v in values):
            found.append(
                Fault("breaker", "claimed while it was open", claim.since, claim.move.breaker or "", (claim.job,))
            )
    return found


def probes_are_few(histories: Histories) -> list[Fault]:
    """Find more probes of a breaker at once than it lets through. One that takes longer than a cooldown is let go."""
    found = []
    by_breaker: dict[str, list[Span]] = defaultdict(list)
    for claim in histories.claims:
        if claim.move.breaker is not None:
            by_breaker[claim.move.breaker].append(claim)
    for name, line in timelines(histories.trace, "breakers").items():
        for at, since, value in _probing(line):
            probes: list[Span] = []
            for claim in by_breaker[name]:
                if since <= claim.began and claim.since <= at:
                    recent = claim.began - value["cooldown_seconds"]
                    probes = [p for p in probes if p.began >= recent and not _over(p, claim)] + [claim]
                    if len(probes) > value["probes"]:
                        jobs = tuple(probe.job for probe in probes)
                        text = f"{len(probes)} probes at once, {value['probes']} allowed"
                        found.append(Fault("breaker", text, claim.since, name, jobs))
    return found


def _over(probe: Span, claim: Span) -> bool:
    return probe.until is not None and (probe.until <= claim.since or probe.until_xid == claim.since_xid)


def _probing(line: Timeline) -> list[tuple[float, float, dict[str, Any]]]:
    """Return the times in which probes are let through: when each ends and begins, with the settings."""
    found = []
    for (at, value), (end, _) in pairwise([*line.changes, (inf, None)]):
        if value is not None and value["state"] != "closed":
            found.append((end, max(at, value["until"]), value))
    return found


def what_expired_stays(histories: Histories) -> list[Fault]:
    """Find runs under claims that were made after the job had expired."""
    late = {
        (claim.job, claim.claim): claim
        for claim in histories.claims
        if claim.move.expires_at is not None and claim.move.expires_at < claim.began - SLACK
    }
    return [
        Fault("expiry", "it ran, and had expired before its claim", run.began, "", (run.job,))
        for run in histories.trace.runs
        if (run.job, run.claim) in late
    ]


def claims_are_kept(histories: Histories) -> list[Fault]:
    """Find runs without a claim of their own, and claims that ran twice, where no fault explains it."""
    found = []
    claims = {(span.job, span.claim): span for span in histories.claims}
    for run in histories.trace.runs:
        claim = claims.get((run.job, run.claim))
        if _struck(histories, run.began):
            continue
        if claim is None:
            found.append(Fault("claim", "it ran without a claim", run.began, "", (run.job,)))
        elif not run.holds:
            found.append(Fault("claim", "it began when its claim was over", run.began, "", (run.job,)))
    counts = Counter((run.job, run.claim) for run in histories.trace.runs if not _struck(histories, run.began))
    for (job, number), count in counts.items():
        if count > 1:
            found.append(Fault("claim", f"claim {number} ran {count} times", claims[job, number].since, "", (job,)))
    return found


def _struck(histories: Histories, at: float) -> bool:
    return any(s.kind in TAKES_CLAIMS and s.began - SLACK <= at <= s.ended + LASTS for s in histories.trace.strikes)
