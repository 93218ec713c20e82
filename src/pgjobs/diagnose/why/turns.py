"""Reasons by which jobs hold each other up: sequences, breakers, limits."""

from __future__ import annotations

from pgjobs.core.text import duration, plural
from pgjobs.diagnose.finding import Finding
from pgjobs.diagnose.text import NEVER, argument, at, jobs
from pgjobs.diagnose.why.snapshot import LimitSnapshot, Snapshot
from pgjobs.flow.batch import BatchSpec
from pgjobs.flow.limits import MAX_CONCURRENCY
from pgjobs.flow.rates import MAX_TOKENS, Rate, next_token_at, number, suffices

ROUNDING = 1e-6  # tokens
LOCK_MATTERS_AFTER = 1.0  # seconds; a claim has it for some milliseconds
KEY_COMMAND = "pgjobs limits set"
QUEUE_COMMAND = "pgjobs queues limit"


def ending(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its sequence has not ended completely, because a row of it is locked."""
    if snapshot.job is None or snapshot.sequence is None or snapshot.sequence.ending is None:
        return None
    return Finding(
        "sequence_ending",
        f"Job {snapshot.id} waits because job {snapshot.sequence.ending} failed and ended its sequence "
        f"{snapshot.job.sequence}, and another transaction has locked a job that is to be cancelled with it.",
        "Commit or end that transaction: the oldest ones in pg_stat_activity with state 'idle in transaction'.",
        {"sequence": snapshot.job.sequence, "dead": snapshot.sequence.ending},
    )


def blocked(snapshot: Snapshot) -> Finding | None:
    """Return a finding if a dead letter of its sequence has to be dealt with before."""
    if snapshot.job is None or snapshot.sequence is None or snapshot.sequence.dead is None:
        return None
    dead = snapshot.sequence.dead
    return Finding(
        "sequence_blocked",
        f"Job {snapshot.id} waits because job {dead} of its sequence {snapshot.job.sequence} failed, which blocks the "
        "sequence.",
        f"Let it run again with `pgjobs dead replay {dead}`, or continue without it: `pgjobs dead discard {dead}`.",
        {"sequence": snapshot.job.sequence, "dead": dead, "before": snapshot.sequence.before},
    )


def sequence(snapshot: Snapshot) -> Finding | None:
    """Return a finding if others of its sequence come before."""
    found = snapshot.sequence
    if snapshot.job is None or found is None:
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
        f"Job {snapshot.id} is behind {plural(before, 'job', cap=snapshot.cap)} of its sequence "
        f"{snapshot.job.sequence}; the first of them is job {head} ({state}).",
        f"Wait for them; `pgjobs why {head}` says what holds up the first one.",
        {"sequence": snapshot.job.sequence, "before": before, "head": head, "head_state": state},
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


def breaker_open(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its breaker lets nothing through."""
    found = snapshot.breaker
    if (
        snapshot.job is None
        or found is None
        or found.state == "closed"
        or found.until is None
        or found.until <= snapshot.now
    ):
        return None
    if found.until >= NEVER:
        until, step = "until it is closed by hand", f"Close it: `pgjobs breakers close {argument(found.name)}`."
    else:
        until = f"for {duration((found.until - snapshot.now).total_seconds())} more, until {at(found.until)}"
        step = f"Fix what fails; then wait, or `pgjobs breakers close {argument(found.name)}`."
    return Finding(
        "breaker_open",
        f"Job {snapshot.id} waits because its breaker {found.name} is open {until}.",
        step,
        {"breaker": found.name, "until": found.until},
    )


def breaker_half_open(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its breaker lets only some through, and those run."""
    found = snapshot.breaker
    if snapshot.job is None or found is None or found.state == "closed" or len(found.probing) < found.probes:
        return None
    return Finding(
        "breaker_half_open",
        f"Job {snapshot.id} waits because its breaker {found.name} is half-open: {plural(len(found.probing), 'probe')} "
        f"({jobs(found.probing)}) must succeed before others run.",
        "Wait for the probes; `pgjobs breakers list` shows what happens to them.",
        {"breaker": found.name, "probes": list(found.probing)},
    )


def key_locked(snapshot: Snapshot) -> Finding | None:
    """Return a finding if a transaction has locked one of its keys, and claims leave the key alone."""
    if snapshot.job is None:
        return None
    for holder in snapshot.key_locks:
        # The lock of a queue counts where the queue has a limit.
        matters = holder.key_kind != "queue" or (snapshot.queue is not None and snapshot.queue.is_limited)
        if matters and (holder.seconds is None or holder.seconds >= LOCK_MATTERS_AFTER):
            since = f" for {duration(holder.seconds)}" if holder.seconds is not None else ""
            key = "batch" if holder.key_kind == "batch" else f"{holder.key_kind} {holder.key}"  # that key is a digest
            return Finding(
                "key_locked",
                f"Job {snapshot.id} waits because its {key} is locked, and claims leave it "
                f"alone: {holder} has had the lock{since}.",
                f"End it, if it may end: {holder.end}. The server ends a worker's by itself, after five seconds.",
                {
                    "key": f"{holder.key_kind}:{holder.key}",
                    "kind": holder.kind,
                    "pid": holder.pid,
                    "application": holder.name,
                    "seconds": holder.seconds,
                },
            )
    return None


def batch(snapshot: Snapshot) -> Finding | None:
    """Return a finding if it waits for others that run together with it."""
    job = snapshot.job
    spec = None if job is None or job.held is not None else BatchSpec.of_lane(job.lane or "")
    if job is None or spec is None or not snapshot.batch_jobs:
        return None
    left = spec.wait - snapshot.batch_waited
    if snapshot.batch_jobs >= spec.size or left <= 0:
        return None
    return Finding(
        "batch",
        f"Job {snapshot.id} waits for its batch: {snapshot.batch_jobs:,} of {plural(spec.size, 'job')} are there, and "
        f"it runs in {duration(left)} at the latest.",
        "Wait. How many and how long is said where its task is declared: Batch(…, wait=…).",
        {"jobs": snapshot.batch_jobs, "size": spec.size, "seconds_left": left},
    )


def limit(snapshot: Snapshot) -> Finding | None:
    """Return a finding if as many of its limit run as may."""
    if snapshot.job is None:
        return None
    return _concurrency(snapshot, snapshot.key_limit, f"its limit {snapshot.job.limit_key}", "limit", KEY_COMMAND)


def queue_limit(snapshot: Snapshot) -> Finding | None:
    """Return a finding if as many of its queue run as may, over all workers."""
    if snapshot.job is None:
        return None
    return _concurrency(
        snapshot, snapshot.queue_limit, f"the limit of its queue {snapshot.job.queue}", "queue_limit", QUEUE_COMMAND
    )


def rate(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its limit has no token left."""
    if snapshot.job is None:
        return None
    return _rate(
        snapshot,
        snapshot.key_limit,
        f"its limit {snapshot.job.limit_key}",
        "rate",
        KEY_COMMAND,
        snapshot.job.cost or 1.0,
    )


def queue_rate(snapshot: Snapshot) -> Finding | None:
    """Return a finding if its queue has no token left."""
    if snapshot.job is None:
        return None
    return _rate(snapshot, snapshot.queue_limit, f"its queue {snapshot.job.queue}", "queue_rate", QUEUE_COMMAND, 1.0)


def _concurrency(
    snapshot: Snapshot, found: LimitSnapshot | None, what: str, reason: str, command: str
) -> Finding | None:
    if found is None or found.concurrency is None or len(found.holders) < found.concurrency:
        return None
    running = len(found.holders)
    facts = {"limit": found.name, "concurrency": found.concurrency, "holders": list(found.holders)}
    if found.concurrency == 0:
        sentence = f"Job {snapshot.id} waits because {what} lets none run at all."
        return Finding(reason, sentence, f"Raise it: {_doubled(found, command, 'concurrency')}.", facts)
    if running > found.concurrency:
        left = running - found.concurrency + 1
        return Finding(
            reason,
            f"Job {snapshot.id} waits because {what} is exceeded: {found.concurrency:,} may run at once, and "
            f"{running:,} run that started before it was set or lowered: {jobs(found.holders)}.",
            f"Wait for {left:,} of them to end (`pgjobs why {found.holders[0]}`), or raise it: "
            f"{_doubled(found, command, 'concurrency')}.",
            facts,
        )
    return Finding(
        reason,
        f"Job {snapshot.id} waits because {what} is reached: {found.concurrency:,} may run at once, and the place"
        f"{'s are' if found.concurrency > 1 else ' is'} held by {jobs(found.holders)}.",
        f"Wait for one of them to end (`pgjobs why {found.holders[0]}`), or raise it: "
        f"{_doubled(found, command, 'concurrency')}.",
        facts,
    )


def _rate(
    snapshot: Snapshot, found: LimitSnapshot | None, what: str, reason: str, command: str, cost: float
) -> Finding | None:
    if found is None or found.rate is None or not found.period or found.tokens is None:
        return None
    rate, now = Rate(found.rate, found.period), snapshot.now
    if suffices(found.tokens + ROUNDING, cost, rate, found.burst):
        return None
    next_at = next_token_at(found.tokens, now, now, rate, found.burst, cost)
    seconds = (next_at - now).total_seconds()
    return Finding(
        reason,
        f"Job {snapshot.id} waits because {what} has used up its rate of {found.rate:g} in {duration(found.period)}; "
        f"the next token is there in {duration(seconds)}, at {at(next_at)}.",
        f"Wait, or raise the rate: {_doubled(found, command, 'rate')}.",
        {
            "limit": found.name,
            "tokens": found.tokens,
            "cost": cost,
            "next_at": next_at,
        },
    )


def _doubled(found: LimitSnapshot, command: str, what: str) -> str:
    """Return the command that doubles a limit's concurrency or rate. It replaces the limit, so it repeats the rest.

    Where more run than may, twice the limit may be too few: then one more than run.
    """
    words: list[str] = []
    if found.concurrency is not None:
        more = max(2 * found.concurrency, len(found.holders) + 1)
        words.append(f"--concurrency {min(more, MAX_CONCURRENCY) if what == 'concurrency' else found.concurrency}")
    if found.rate is not None and found.period:
        per_period = min(2 * found.rate, MAX_TOKENS) if what == "rate" else found.rate
        words.append(f"--rate {Rate(per_period, found.period)}")
        if found.burst is not None:
            words.append(f"--burst {number(found.burst)}")
    name = argument(found.name)
    return f"`{' '.join([command, *words, name] if name.startswith('--') else [command, name, *words])}`"
