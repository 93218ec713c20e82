"""The state machine of a circuit breaker: pure functions from a state and what happened to the next state.

    closed ──too many of the window's calls failed──▶ open ──its time is over──▶ half-open ──probes succeeded──▶ closed
                                                       ▲                             │
                                                       └────────a probe failed───────┘

A window alone is slow to see that a dependency has gone down altogether: of one that was well, half has to pass. So
failures in a row open a breaker too, when they are more than chance would bring once in a million (see `streak_of`).

All times are seconds of PostgreSQL's clock since 1970. A call that began before the state's own beginning says nothing
about it: what hung since before the breaker opened does not open it again, nor close it.

The cooldown does not grow from one opening to the next: a try costs `probes` calls at most, so that a longer one would
spare next to nothing, and be late when the dependency is well again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from pgjobs.flow.breaker import Breaker

CHANCE = 1e-6  # the probability of that many failures in a row, below which they are an outage
BY_ITSELF = "told by an operator to decide by itself"
BUCKETS = 10  # parts of the window; with them it slides
BreakerStatus: TypeAlias = Literal["closed", "open", "half_open"]


class Call(NamedTuple):
    """A call of the dependency that has ended. `began`: when."""

    began: float
    succeeded: bool


class Bucket(NamedTuple):
    """What ended in a part of the window, from `began` on."""

    began: float
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class BreakerState:
    """The state of a breaker.

    `until`: an open one lets nothing through before; calls that begin later are probes. `forced`: an operator wants it
    so, and calls do not change it. `since`: when it became so. `window`: what was counted, oldest first; when closed.
    `streak`: failures since the last success, as far as they are in the window. `passed`: probes that have succeeded.
    `reason`: why it is so.
    """

    state: BreakerStatus = "closed"
    until: float = -math.inf
    forced: bool = False
    since: float = -math.inf
    window: tuple[Bucket, ...] = ()
    streak: int = 0
    passed: int = 0
    reason: str = ""


def after_calls(circuit: BreakerState, breaker: Breaker, calls: Iterable[Call], now: float) -> BreakerState:
    """Return the state after calls that ended just now."""
    circuit = after_time(circuit, now)
    if circuit.state == "open":
        return circuit  # they were under way when it opened
    begin = circuit.since if circuit.state == "closed" else circuit.until
    fresh = [call.succeeded for call in calls if call.began >= begin]
    if not fresh:
        return circuit
    failed = fresh.count(False)
    succeeded = len(fresh) - failed
    if circuit.state == "half_open":
        return _after_probes(circuit, breaker, succeeded, failed, now)
    window = counted(circuit.window, breaker.window, succeeded, failed, now)
    ended, bad = totals(window)
    last = fresh[::-1].index(True) if succeeded else circuit.streak + failed
    streak = min(last, bad)
    reason = None
    if ended >= breaker.min_calls and bad >= breaker.failures * ended:
        reason = f"{bad} of {ended} calls failed within {breaker.window:g} s"
    elif streak >= streak_of(breaker):
        reason = f"{streak} calls in a row failed"
    if reason is None or circuit.forced:
        return replace(circuit, window=window, streak=streak)
    return BreakerState("open", until=now + breaker.cooldown, since=now, reason=reason)


def streak_of(breaker: Breaker) -> int:
    """Return how many failures in a row open a breaker, whatever the share in its window.

    As many as would come by chance once in a million, where just the share fails that is still borne; and no fewer than
    `min_calls`.

    >>> streak_of(Breaker("stripe", failures=0.5)), streak_of(Breaker("stripe", failures=0.1, min_calls=5))
    (20, 6)

    """
    if breaker.failures == 1:
        return breaker.min_calls
    return max(breaker.min_calls, math.ceil(math.log(CHANCE) / math.log(breaker.failures)))


def after_time(circuit: BreakerState, now: float) -> BreakerState:
    """Return the state at this time: an open one whose time is over is half-open."""
    if circuit.state != "open" or circuit.until > now:
        return circuit
    return BreakerState("half_open", until=circuit.until, since=circuit.until, reason="it was open for long enough")


def open_by_hand(seconds: float, now: float) -> BreakerState:
    """Return the state of one that an operator opens for some seconds, or until told otherwise (infinity)."""
    return BreakerState("open", until=now + seconds, forced=True, since=now, reason="opened by an operator")


def closed_by_hand(now: float, *, stay: bool = False) -> BreakerState:
    """Return the state of one that an operator closes. `stay`: whatever fails, until told otherwise."""
    return BreakerState("closed", forced=stay, since=now, reason="closed by an operator")


def by_itself(circuit: BreakerState, now: float) -> BreakerState:
    """Return the state of one that is to decide by itself again: if it is not closed, it tries probes at once."""
    state: BreakerStatus = "closed" if circuit.state == "closed" else "half_open"
    return BreakerState(state, until=now if state == "half_open" else -math.inf, since=now, reason=BY_ITSELF)


def _after_probes(circuit: BreakerState, breaker: Breaker, succeeded: int, failed: int, now: float) -> BreakerState:
    passed = circuit.passed + succeeded
    if failed:
        reason = f"a probe failed, {passed} succeeded" if passed else "a probe failed"
        return BreakerState("open", until=now + breaker.cooldown, since=now, reason=reason)
    if passed >= breaker.probes:
        return BreakerState("closed", since=now, reason=f"{passed} probe{'s' * (passed != 1)} succeeded")
    return replace(circuit, passed=passed)


def counted(window: Sequence[Bucket], seconds: float, succeeded: int, failed: int, now: float) -> tuple[Bucket, ...]:
    """Count calls that ended now into the window, and forget what is older than `seconds`.

    The clock may have been set back: what lies in the future is counted on for a part of the window, and then too old.
    """
    width = seconds / BUCKETS
    kept = within(window, seconds, now)
    if kept and now < kept[-1].began + width:
        began, good, bad = kept.pop()
    else:
        began, good, bad = now, 0, 0
    return (*kept, Bucket(began, good + succeeded, bad + failed))


def within(window: Sequence[Bucket], seconds: float, now: float) -> list[Bucket]:
    """Return the parts of the window that still count: a part is forgotten when all of it is too old."""
    width = seconds / BUCKETS
    return [bucket for bucket in window if now - seconds - width < bucket.began <= now + width]


def totals(window: Iterable[Bucket]) -> tuple[int, int]:
    """Return how many calls ended, and how many of them failed."""
    ended = bad = 0
    for _, succeeded, failed in window:
        ended += succeeded + failed
        bad += failed
    return ended, bad
