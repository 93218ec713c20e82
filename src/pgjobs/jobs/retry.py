"""What to do after an error: pure functions over plain values.

The default backoff is exponential with full jitter: uniform between 0 and `min(maximum, base · factor^(attempt-1))`.
Full jitter spreads a herd of failed jobs best (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from pgjobs.core.error_text import leaves
from pgjobs.core.errors import NotAllowedError, PayloadError, SignatureError, UsageError
from pgjobs.core.interrupts import JobCancelled, JobTimeout
from pgjobs.core.text import describe, one_line
from pgjobs.core.validate import MAX_DELAY, Seconds, as_number, check_bool, check_seconds, shown
from pgjobs.jobs.outcome import (
    CANCELLED_ON_REQUEST,
    Cancel,
    Cancelled,
    Completed,
    ErrorKind,
    Failed,
    Outcome,
    Retried,
    Retry,
    Snooze,
    Snoozed,
    Suspended,
)

Backoff: TypeAlias = Callable[[int], Seconds]
"""From the number of the attempt that failed (1, 2, …) to the time until the next one, in seconds or as a timedelta."""


@dataclass(frozen=True, slots=True, init=False)
class ExponentialBackoff:
    """Exponential backoff: `base` after the first attempt, times `factor` after each, `maximum` at most.

    `base` and `maximum` are given in seconds or as timedeltas, and kept in seconds. With `jitter` (the default) the
    delay is random, between 0 and that.

    Raises:
        UsageError: `base` is below 0, `factor` below 1, `maximum` not from 0 to ten years, or `jitter` no bool.

    """

    base: float
    factor: float
    maximum: float
    jitter: bool

    def __init__(
        self, base: Seconds = 2.0, factor: float = 2.0, maximum: Seconds = 3600.0, jitter: bool = True
    ) -> None:
        number = as_number(factor)
        if number is None or number < 1:
            raise UsageError(f"{shown('ExponentialBackoff.factor', factor)}: give a number from 1 on.")
        object.__setattr__(self, "base", check_seconds("ExponentialBackoff.base", base, most=math.inf))
        object.__setattr__(self, "factor", float(number))
        object.__setattr__(self, "maximum", check_seconds("ExponentialBackoff.maximum", maximum))
        object.__setattr__(self, "jitter", check_bool("ExponentialBackoff.jitter", jitter))

    def ceiling(self, attempt: int) -> float:
        """Return the longest delay that may follow the attempt, in seconds."""
        try:
            return min(self.maximum, self.base * self.factor ** max(0, attempt - 1))
        except OverflowError:
            return self.maximum

    def __call__(self, attempt: int) -> float:
        """Return the delay after the attempt, in seconds."""
        ceiling = self.ceiling(attempt)
        return random.uniform(0, ceiling) if self.jitter else ceiling  # noqa: S311 (jitter needs no secrecy)


@dataclass(frozen=True, slots=True)
class Constant:
    """The same delay after every attempt, given in seconds or as a timedelta, and kept in seconds."""

    seconds: Seconds

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", check_seconds("backoff", self.seconds))

    def __call__(self, attempt: int) -> Seconds:
        """Return the delay after the attempt, in seconds."""
        return self.seconds


DEFAULT_BACKOFF = ExponentialBackoff()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which errors are worth another attempt, and when.

    `give_up_on` wins over `retry_on`; an empty `retry_on` means every error. Both look into groups of exceptions: a
    group is worth another attempt if all that is in it is.
    """

    backoff: Backoff = DEFAULT_BACKOFF
    retry_on: tuple[type[BaseException], ...] = field(default=())
    give_up_on: tuple[type[BaseException], ...] = field(default=())

    def worth_retrying(self, error: BaseException) -> bool:
        """Return True if another attempt could help."""
        parts = leaves(error)
        if self.give_up_on and any(isinstance(part, self.give_up_on) for part in (error, *parts)):
            return False
        if not self.retry_on or isinstance(error, self.retry_on):
            return True
        return all(isinstance(part, self.retry_on) for part in parts)

    def delay(self, attempt: int) -> float:
        """Return the seconds until the next attempt. The default replaces a backoff that raises or is out of range."""
        try:
            delay: Any = self.backoff(attempt)
            seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        except Exception:
            seconds = math.nan
        return seconds if _is_delay(seconds) else DEFAULT_BACKOFF(attempt)


def _is_delay(seconds: float) -> bool:
    return 0 <= seconds <= MAX_DELAY


DEFAULT_POLICY = RetryPolicy()


def since_replay(attempt: int, max_attempts: int, prior_attempts: int | None) -> tuple[int, int]:
    """Return the attempt and the maximum as counted since the last replay, which came with a fresh budget."""
    prior = prior_attempts or 0
    return attempt - prior, max_attempts - prior


def after_exception(error: BaseException, attempt: int, max_attempts: int, policy: RetryPolicy) -> Outcome:
    """Decide the outcome of an attempt that raised `error`; `attempt` and `max_attempts` count from 1."""
    try:
        wished = _wished(error, attempt, max_attempts, policy)
    except BaseException as refused:  # a subclass of Snooze and the like may hold anything, and do anything
        refused.__cause__ = error
        wished, error = None, refused
    if wished is not None:
        return wished
    line, trace = describe(error)
    if attempt >= max_attempts or not policy.worth_retrying(error):
        return Failed(line, trace, kind=kind_of(error))
    return Retried(line, _delay(policy, attempt), trace, kind=kind_of(error))


def kind_of(error: BaseException) -> ErrorKind:
    """Return the kind of an error that ended an attempt. A payload that cannot be loaded says why by its cause."""
    match error:
        case BaseExceptionGroup() if any(isinstance(part, JobTimeout) for part in leaves(error)):
            return ErrorKind.TIMEOUT
        case JobTimeout():
            return ErrorKind.TIMEOUT
        case SignatureError():
            return ErrorKind.SIGNATURE
        case NotAllowedError():
            return ErrorKind.NOT_ALLOWED
        case PayloadError():
            match error.__cause__:
                case ModuleNotFoundError():
                    return ErrorKind.MODULE_MISSING
                case ImportError() | AttributeError():
                    return ErrorKind.NAME_MISSING
                case _:
                    return ErrorKind.PAYLOAD
        case _:
            return ErrorKind.EXCEPTION


def _delay(policy: RetryPolicy, attempt: int) -> float:
    """Ask the policy. A subclass may return anything, and what is stored is a number of seconds."""
    seconds: object = policy.delay(attempt)
    return seconds if type(seconds) is float and _is_delay(seconds) else DEFAULT_BACKOFF(attempt)


def _wished(error: BaseException, attempt: int, max_attempts: int, policy: RetryPolicy) -> Outcome | None:
    """Return the outcome that the job asked for by raising `error`; None if it is an ordinary error.

    A group of nothing but such wishes is one. Of several the most decided counts, and of those the latest.
    """
    if isinstance(error, BaseExceptionGroup):
        wishes = [_wished(part, attempt, max_attempts, policy) for part in leaves(error)]
        asked = [wish for wish in wishes if wish is not None]
        return None if len(asked) < len(wishes) else max(asked, key=_weight)
    if isinstance(error, Suspended):
        return Snoozed(error.seconds)
    if isinstance(error, Snooze):
        return Snoozed(check_seconds("Snooze.seconds", error.seconds))
    if isinstance(error, Cancel):
        return Cancelled(one_line(error.reason))
    if isinstance(error, JobCancelled):
        return CANCELLED_ON_REQUEST
    if isinstance(error, Retry):
        line = one_line(f"Retry: {one_line(error.reason)}")
        delay = (
            _delay(policy, attempt) if error.in_seconds is None else check_seconds("Retry.in_seconds", error.in_seconds)
        )
        if attempt >= max_attempts:
            return Failed(line, kind=ErrorKind.RETRY)
        return Retried(line, delay, kind=ErrorKind.RETRY)
    return None


def _weight(wish: Outcome) -> tuple[int, float]:
    match wish:
        case Cancelled():
            return 3, 0.0
        case Failed():
            return 2, 0.0
        case Retried(delay=delay):
            return 1, delay
        case Snoozed(delay=delay):
            return 0, delay
        case _:
            return -1, 0.0


def without_commit(outcome: Outcome, attempt: int, max_attempts: int) -> Outcome:
    """Return the outcome of a job that called `complete` in a transaction that was not committed.

    Its own, unless it has returned as if all were done: what it did there is rolled back, so the attempt has failed.
    """
    if not isinstance(outcome, Completed):
        return outcome
    line = "the job called complete() and returned, but its transaction was not committed, or the call not awaited"
    return after_loss(line, attempt, max_attempts, kind=ErrorKind.EXCEPTION)


def after_loss(
    error: str,
    attempt: int,
    max_attempts: int,
    *,
    isolate: bool = False,
    delay: float | None = None,
    traceback: str | None = None,
    kind: ErrorKind = ErrorKind.CRASHED,
) -> Outcome:
    """Decide the outcome of an attempt that ended without an exception to look at: its process died, or hung.

    `delay`: seconds until the next attempt (None: the default backoff). `isolate`: run that one in its own process.
    `traceback`: what is known besides.
    """
    if attempt >= max_attempts:
        return Failed(one_line(error), traceback, kind=kind)
    seconds = DEFAULT_POLICY.delay(attempt) if delay is None else delay
    return Retried(one_line(error), seconds, traceback, isolate, kind=kind)
