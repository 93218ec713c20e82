"""Reasons by which jobs hold each other up: sequences, breakers, limits."""

from __future__ import annotations

import shlex
from datetime import timedelta

from pgjobs.core.text import duration as span
from pgjobs.core.text import plural as count
from pgjobs.diagnose.why.answer import Finding
from pgjobs.diagnose.why.snapshot import LimitSnapshot, Snapshot
from pgjobs.diagnose.why.words import NEVER, at, jobs
from pgjobs.flow.limits import MAX_CONCURRENCY
from pgjobs.flow.rates import MAX_TOKENS, Rate, number

MAX_WAIT = 1e9  # seconds: what can be added to a date
KEY_COMMAND = "pgjobs limits set"
QUEUE_COMMAND = "pgjobs queues limit"


def blocked(s: Snapshot) -> Finding | None:
    """Tell that a dead letter of its sequence has to be dealt with before."""
    if s.job is None or s.sequence is None or s.sequence.dead is None:
        return None
    dead = s.sequence.dead
    return Finding(
        "sequence_blocked",
        f"Job {s.id} waits because job {dead} of its sequence {s.job.sequence} failed, which blocks the sequence.",
        f"Let it run again with `pgjobs dead replay {dead}`, or go on without it: `pgjobs dead discard {dead}`.",
        {"sequence": s.job.sequence, "dead": dead, "before": s.sequence.before},
    )


def sequence(s: Snapshot) -> Finding | None:
    """Tell that others of its sequence come before."""
    found = s.sequence
    if s.job is None or found is None:
        return None
    before = found.before + (found.running is not None)
    if not before:
        return None
    if found.running is not None:
        head, state = found.running["id"], "running"
    else:
        waiting = found.head or {}
        head, state = waiting.get("id"), _held(waiting.get("held"), waiting.get("error"))
    return Finding(
        "sequence",
        f"Job {s.id} is behind {count(before, 'job', cap=s.cap)} of its sequence {s.job.sequence}; the first of them "
        f"is job {head} ({state}).",
        f"Wait for them; `pgjobs why {head}` says what holds up the first one.",
        {"sequence": s.job.sequence, "before": before, "head": head, "head_state": state},
    )


def _held(held: object, error: object) -> str:
    match held:
        case "later":
            return "waiting for its next attempt" if error else "due later"
        case "needs":
            return "waiting for others"
        case "task":
            return "its task is paused"
    return "waiting for its turn"


def breaker_open(s: Snapshot) -> Finding | None:
    """Tell that its breaker lets nothing through."""
    found = s.breaker
    if s.job is None or found is None or found.state == "closed" or found.until is None or found.until <= s.now:
        return None
    if found.until >= NEVER:
        until, step = "until somebody closes it", f"Close it: `pgjobs breakers close {found.name}`."
    else:
        until = f"for {span((found.until - s.now).total_seconds())} more, until {at(found.until)}"
        step = f"Mend what fails; then wait, or `pgjobs breakers close {found.name}`."
    return Finding(
        "breaker_open",
        f"Job {s.id} waits because its breaker {found.name} is open {until}.",
        step,
        {"breaker": found.name, "until": found.until},
    )


def breaker_half_open(s: Snapshot) -> Finding | None:
    """Tell that its breaker lets only some through, and those run."""
    found = s.breaker
    if s.job is None or found is None or found.state == "closed" or len(found.probing) < found.probes:
        return None
    return Finding(
        "breaker_half_open",
        f"Job {s.id} waits because its breaker {found.name} is half-open: {count(len(found.probing), 'probe')} "
        f"({jobs(found.probing)}) must succeed before others run.",
        "Wait for the probes; `pgjobs breakers list` shows what becomes of them.",
        {"breaker": found.name, "probes": list(found.probing)},
    )


def limit(s: Snapshot) -> Finding | None:
    """Tell that as many of its limit run as may."""
    if s.job is None:
        return None
    return _concurrency(s, s.key_limit, f"its limit {s.job.limit_key}", "limit", KEY_COMMAND)


def queue_limit(s: Snapshot) -> Finding | None:
    """Tell that as many of its queue run as may, over all workers."""
    if s.job is None:
        return None
    return _concurrency(s, s.queue_limit, f"the limit of its queue {s.job.queue}", "queue_limit", QUEUE_COMMAND)


def rate(s: Snapshot) -> Finding | None:
    """Tell that its limit has no token left."""
    if s.job is None:
        return None
    return _rate(s, s.key_limit, f"its limit {s.job.limit_key}", "rate", KEY_COMMAND, s.job.cost or 1.0)


def queue_rate(s: Snapshot) -> Finding | None:
    """Tell that its queue has no token left."""
    if s.job is None:
        return None
    return _rate(s, s.queue_limit, f"its queue {s.job.queue}", "queue_rate", QUEUE_COMMAND, 1.0)


def _concurrency(s: Snapshot, found: LimitSnapshot | None, what: str, reason: str, command: str) -> Finding | None:
    if found is None or found.concurrency is None or len(found.holders) < found.concurrency:
        return None
    facts = {"limit": found.name, "concurrency": found.concurrency, "holders": list(found.holders)}
    if found.concurrency == 0:
        sentence = f"Job {s.id} waits because {what} lets none run at all."
        return Finding(reason, sentence, f"Raise it: {_doubled(found, command, 'concurrency')}.", facts)
    return Finding(
        reason,
        f"Job {s.id} waits because {what} is reached: {found.concurrency:,} may run at once, and the place"
        f"{'s are' if found.concurrency > 1 else ' is'} held by {jobs(found.holders)}.",
        f"Wait for one of them to end (`pgjobs why {found.holders[0]}`), or raise it: "
        f"{_doubled(found, command, 'concurrency')}.",
        facts,
    )


def _rate(
    s: Snapshot, found: LimitSnapshot | None, what: str, reason: str, command: str, cost: float
) -> Finding | None:
    if found is None or found.rate is None or not found.period or found.tokens is None:
        return None
    full = max(1.0, found.rate if found.burst is None else found.burst)
    missing = min(cost, full) - found.tokens
    if missing <= 1e-6:
        return None
    seconds = missing * found.period / found.rate
    next_at = s.now + timedelta(seconds=min(seconds, MAX_WAIT))
    return Finding(
        reason,
        f"Job {s.id} waits because {what} has used up its rate of {found.rate:g} in {span(found.period)}; the next "
        f"{'token is' if cost == 1 else f'{cost:g} tokens are'} there in {span(seconds)}, at {at(next_at)}.",
        f"Wait, or raise the rate: {_doubled(found, command, 'rate')}.",
        {
            "limit": found.name,
            "tokens": found.tokens,
            "cost": cost,
            "next_at": next_at,
        },
    )


def _doubled(found: LimitSnapshot, command: str, what: str) -> str:
    """Give the command that doubles a limit's concurrency or rate. It replaces the limit, so it says the rest, too."""
    words = [command, shlex.quote(found.name)]
    if found.concurrency is not None:
        more = max(1, min(2 * found.concurrency, MAX_CONCURRENCY)) if what == "concurrency" else found.concurrency
        words.append(f"--concurrency {more}")
    if found.rate is not None and found.period:
        per_period = min(2 * found.rate, MAX_TOKENS) if what == "rate" else found.rate
        words.append(f"--rate {Rate(per_period, found.period)}")
        if found.burst is not None:
            words.append(f"--burst {number(found.burst)}")
    return f"`{' '.join(words)}`"
