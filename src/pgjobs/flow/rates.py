"""Rates such as "100/min", and the token bucket that keeps them: pure functions.

A bucket holds up to `burst` tokens, a job takes its cost out of it, and it fills up again by `count` tokens per period
(J. Turner, "New directions in communications", IEEE Communications Magazine 24(10), 1986; RFC 2697, section 3):

    tokens(now) = min(burst, tokens(at) + max(0, now - at) * count / period)

What is stored is `tokens` as of `at`, PostgreSQL's time; nothing stored means a full bucket. The SQL of claims does the
same arithmetic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_number, as_str

MAX_TOKENS = 1_000_000_000  # tokens
MAX_PERIOD = 366 * 86_400.0  # seconds
MIN_PERIOD = 0.001
UNITS = {"s": 1, "min": 60, "h": 3600, "day": 86_400}  # seconds
_SET_BACK = timedelta(seconds=1)
_SAME = {"sec": "s", "second": "s", "m": "min", "minute": "min", "hr": "h", "hour": "h", "d": "day"}
_SAME |= {f"{word}s": unit for word, unit in {**_SAME, "min": "min", "day": "day"}.items() if len(word) > 1}
_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
_RATE = re.compile(rf"({_NUMBER})\s*/\s*({_NUMBER})?\s*([a-z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` tokens per `period`, in seconds."""

    count: float
    period: float

    def __str__(self) -> str:
        """Write it as `parse_rate` reads it.

        >>> str(Rate(100, 60)), str(Rate(10, 30)), str(Rate(0.5, 1))
        ('100/min', '10/30s', '0.5/s')

        """
        for unit, seconds in UNITS.items():
            if self.period == seconds:
                return f"{number(self.count)}/{unit}"
        return f"{number(self.count)}/{number(self.period)}s"


def number(value: float) -> str:
    """Write a number without a fraction that says nothing.

    >>> number(5.0), number(0.25), number(1e9)
    ('5', '0.25', '1000000000')

    """
    return str(int(value)) if value == int(value) else repr(float(value))


def parse_rate(text: object) -> Rate:
    """Read a rate: a number, a slash, and a period of s, min, h or day, of which there may be several.

    >>> parse_rate("100/min")
    Rate(count=100.0, period=60.0)
    >>> parse_rate("10/30s")
    Rate(count=10.0, period=30.0)

    Raises:
        UsageError: it has another form, or is out of range.

    """
    plain = as_str(text)
    match = None if plain is None else _RATE.fullmatch(plain.strip().lower())
    unit = None if match is None else _SAME.get(match[3], match[3])
    if match is None or unit not in UNITS:
        raise UsageError(
            f"rate={shorten_repr(text)}: give a rate such as '100/min', '10/s' or '10/30s' (s, min, h or day)."
        )
    count, period = float(match[1]), float(match[2] or 1) * UNITS[unit]
    if not 0 < count <= MAX_TOKENS:
        raise UsageError(
            f"rate={shorten_repr(text)}: the number before the slash is above 0, and at most {MAX_TOKENS:,}."
        )
    if not MIN_PERIOD <= period <= MAX_PERIOD:
        raise UsageError(f"rate={shorten_repr(text)}: the period is a millisecond at least, and a year at most.")
    return Rate(count, period)


def check_burst(burst: object, rate: Rate | None) -> float | None:
    """Return the tokens that a bucket may hold; None: those of one period.

    Raises:
        UsageError: it is not a number from 1 on, or there is no rate.

    """
    if burst is None:
        return None
    tokens = as_number(burst)
    if tokens is None or not 1 <= tokens <= MAX_TOKENS:
        raise UsageError(f"burst={shorten_repr(burst)}: give a number from 1 to {MAX_TOKENS:,}.")
    if rate is None:
        raise UsageError(
            f"burst={shorten_repr(burst)} means nothing without a rate: give rate='100/min' or the like too."
        )
    return float(tokens)


def capacity(rate: Rate, burst: float | None) -> float:
    """Return the tokens of a full bucket: the burst, or else those of one period; at least one."""
    return max(1.0, rate.count if burst is None else burst)


def refill(tokens: float | None, at: datetime, now: datetime, rate: Rate, burst: float | None) -> float:
    """Return the tokens of now, of a bucket that had `tokens` (None: nothing is stored, it is full) `at`.

    Where the clock was set back no time has passed, and nothing is taken away. By more than a second: what is stored
    no longer means anything, and the bucket is full: otherwise nothing would start until the clock is there again.
    """
    full = capacity(rate, burst)
    if tokens is None or at - now > _SET_BACK:
        return full
    return min(full, tokens + max(0.0, (now - at).total_seconds()) * rate.count / rate.period)


def suffices(tokens: float, cost: float, rate: Rate, burst: float | None) -> bool:
    """Return True if a job of this cost may start: one token is enough, and the rest of its cost is a debt.

    Otherwise cheap jobs would take every token that an expensive one waits for.
    """
    return tokens >= min(cost, 1.0, capacity(rate, burst))


def next_token_at(
    tokens: float | None, at: datetime, now: datetime, rate: Rate, burst: float | None, cost: float = 1.0
) -> datetime:
    """Return when there are enough tokens for a job of this cost, if no other job starts; `now` if there are."""
    have = refill(tokens, at, now, rate, burst)
    missing = min(cost, 1.0, capacity(rate, burst)) - have
    if missing <= 0:
        return now
    try:
        return now + timedelta(seconds=missing * rate.period / rate.count)
    except OverflowError:  # after the end of the calendar
        return datetime.max.replace(tzinfo=now.tzinfo)
