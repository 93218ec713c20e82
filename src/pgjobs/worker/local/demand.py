"""How many jobs to fetch, and when to look again: pure functions.

A worker asks for what it can start now, plus a prefetch: about a quarter of a second of work, measured by how long
the queue's jobs take, and nothing for long jobs, so that no other worker is idle while jobs wait here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

INBOX_SECONDS = 0.25  # of work that may wait in an inbox
INBOX_BYTES = 32 * 1024 * 1024  # of payloads that may wait in an inbox
MAX_PREFETCHED = 2_000  # jobs
MAX_BATCH = 1_000  # rows a claim
STALE_INBOX = 1.0  # seconds after which a claimed job that no slot took is handed back
QUICK_JOB = 0.0001  # seconds: quicker jobs are run by one thread, as long as it does not stall
STALL = 0.005  # seconds without a start that are a stall

QUICK_POLLS = (0.002, 0.004, 0.008)  # seconds: while work keeps coming, poll; NOTIFY is for the idle
MAX_POLL = 0.1  # seconds: after waits that doubled until here, only the doorbell counts
ARMED_SECONDS = 1.0  # how long a doorbell stays armed


def prefetch(mean_seconds: float | None, slots: int, mean_bytes: float | None = None) -> int:
    """Return how many jobs may wait in the inbox, from the mean time and payload of a job (None: not known yet)."""
    if mean_seconds is None or mean_seconds > INBOX_SECONDS:
        return 0
    bound = min(MAX_PREFETCHED, int(INBOX_BYTES / max(mean_bytes or 1.0, 1.0)))
    return min(bound, int(INBOX_SECONDS / max(mean_seconds, 1e-6) * slots))


def demand(outstanding: int, slots: int, mean_seconds: float | None, mean_bytes: float | None = None) -> int:
    """Return how many jobs to claim now; 0 as long as a claim would not be worth a statement.

    `outstanding`: claimed and not yet ended.
    """
    ahead = prefetch(mean_seconds, slots, mean_bytes)
    wanted = slots + ahead - outstanding
    worth = ahead // 3 + 1
    return min(wanted, MAX_BATCH) if wanted >= worth else 0


def surplus(waiting: int, slots: int, mean_seconds: float | None, mean_bytes: float | None = None) -> int:
    """Return how many of the jobs in the inbox are too many by now.

    They were claimed when jobs took less time than they do now. Up to twice what would be claimed today is kept,
    because a job that is handed back has to be claimed again.
    """
    fits = slots + prefetch(mean_seconds, slots, mean_bytes)
    return waiting - fits if waiting > 2 * fits else 0


def room_left(wanted: int, slots: int | None, tokens: float | None) -> int:
    """Return how many of the wanted jobs may be claimed within limits (None: no limit).

    >>> room_left(10, slots=3, tokens=2.5)
    2

    """
    room = wanted if slots is None else min(wanted, slots)
    if tokens is not None:
        room = min(room, math.floor(tokens + 1e-9))
    return max(0, room)


def moving_mean(old: float | None, total: float, jobs: int) -> float:
    """Return the new mean of a job's time or size after `jobs` more with this `total`; about the last 20 count."""
    new = total / jobs
    if old is None:
        return new
    weight = min(1.0, jobs / 20)
    return old + (new - old) * weight


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait before looking again, and whether to arm the doorbell (and look once more) before."""

    seconds: float
    arm: bool = False


def wait_after(misses: int, *, doorbell: bool) -> Wait:
    """Poll when busy, wait for the doorbell when idle: how to wait after `misses` empty claims in a row (1, 2, …).

    Without a doorbell (LISTEN does not work behind a pooler) polls slow down to a tenth of a second.
    """
    if misses <= len(QUICK_POLLS):
        return Wait(QUICK_POLLS[misses - 1])
    slower = QUICK_POLLS[-1] * 2 ** min(misses - len(QUICK_POLLS), 20)
    if not doorbell:
        return Wait(min(MAX_POLL, slower))
    # Of several that commit at about the same time only one rings: look a few times more before relying on the bell.
    return Wait(slower if slower < MAX_POLL else ARMED_SECONDS * 0.9, arm=True)
