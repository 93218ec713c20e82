"""Limits declared in code: of a key that jobs have, and of a queue. Workers write them into the tables when they start.

What an operator has set since, by the command line or in SQL, stays: the tables remember what the code wrote last, and
only what still is as the code left it follows the code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import check_name, check_queue, check_whole, shown
from pgjobs.flow.rates import Rate, check_burst, parse_rate

MAX_CONCURRENCY = 1_000_000
_FIELD = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Limit:
    """`concurrency`: so many jobs at once over all workers; `rate`, with `burst`: so many starts per period.

    None: not limited in that way. A concurrency of 0 lets nothing start.
    """

    concurrency: int | None = None
    rate: Rate | None = None
    burst: float | None = None

    def __str__(self) -> str:
        """Say it in words.

        >>> str(Limit(2, Rate(100, 60), 20))
        '2 at once, 100/min with a burst of 20'
        >>> str(Limit())
        'no limit'

        """
        parts = [] if self.concurrency is None else [f"{self.concurrency} at once"]
        if self.rate is not None:
            parts.append(f"{self.rate}" + (f" with a burst of {self.burst:g}" if self.burst is not None else ""))
        return ", ".join(parts) or "no limit"

    def columns(self) -> dict[str, float | None]:
        """Give it as the columns of `limits` and `queues`; `period` is in seconds."""
        rate = self.rate
        return {
            "concurrency": self.concurrency,
            "rate": None if rate is None else rate.count,
            "period": None if rate is None else rate.period,
            "burst": self.burst,
        }


NO_LIMIT = Limit()

declared_limits: dict[str, Limit] = {}
"""By name of a limit; what `limit` was called with in this process."""
declared_queue_limits: dict[str, Limit] = {}
"""By name of a queue; what `queue_limit` was called with in this process."""


def limit(name: str, *, concurrency: int | None = None, rate: str | None = None, burst: float | None = None) -> None:
    """Declare the limit of a key (`@job(limit_key=…)`); to be called where a module is imported.

    `name`: a key such as "stripe", or a pattern that ends in `*`: "tenant:*" holds for "tenant:7", "tenant:8" and each
    other one by itself. `concurrency`: so many jobs at once over all workers. `rate`: so many starts per period, such
    as "100/min"; `burst`: so many of them may come at once (default: those of one period).

    Workers write it into the table `limits` when they start. What an operator has set there stays.

    Raises:
        UsageError: a value that can not be used, or the name was declared otherwise before.

    """
    name = check_no_template(check_limit_name(name))
    _declare(declared_limits, name, make_limit(concurrency, rate, burst), f"limit({shorten_repr(name)}, …)")


def queue_limit(
    queue: str, *, concurrency: int | None = None, rate: str | None = None, burst: float | None = None
) -> None:
    """Declare the limit of a queue over all workers, as `limit` does for a key.

    Raises:
        UsageError: a value that can not be used, or the queue's limit was declared otherwise before.

    """
    name = check_queue(queue)
    _declare(declared_queue_limits, name, make_limit(concurrency, rate, burst), f"queue_limit({shorten_repr(name)}, …)")


def declare_limit_of(
    limit_key: str | None, *, concurrency: int | None = None, rate: str | None = None, burst: float | None = None
) -> None:
    """Declare the limit that `@job(limit_key=…, concurrency=…)` has beside its key; nothing where it has none.

    Of the key "tenant:{tenant_id}" it is the limit "tenant:*".

    Raises:
        UsageError: a value that can not be used, or a key that no pattern stands for.

    """
    if concurrency is None and rate is None and burst is None:
        return
    if limit_key is None:
        raise UsageError("concurrency=, rate= and burst= of @job are those of its limit_key=: give that too.")
    limit(name_of_template(limit_key), concurrency=concurrency, rate=rate, burst=burst)


def make_limit(concurrency: object = None, rate: object = None, burst: object = None) -> Limit:
    """Check and put together what was given.

    Raises:
        UsageError: a value that can not be used, or nothing was given.

    """
    if concurrency is None and rate is None and burst is None:
        raise UsageError("a limit of nothing: give concurrency=, rate= or both.")
    number = None if concurrency is None else check_whole("concurrency", concurrency, 0, MAX_CONCURRENCY)
    parsed = None if rate is None else parse_rate(rate)
    return Limit(number, parsed, check_burst(burst, parsed))


def check_limit_name(name: object) -> str:
    """Return the name of a limit.

    Raises:
        UsageError: it is not a name of 1 to 100 printable characters, or a `*` that does not replace the part behind
            its last colon.

    """
    text = check_name("limit", name)
    if "*" in text and pattern_of(text) != text:
        raise UsageError(f"{shown('limit', text)}: a * replaces all behind the last colon, as in 'tenant:*'.")
    return text


def check_no_template(name: str) -> str:
    """Give the name of a limit that is to be set, or refuse a template, whose limit would hold for no key.

    Raises:
        UsageError: it has braces.

    """
    if "{" not in name and "}" not in name:
        return name
    head, colon, _ = name.rpartition(":")
    meant = (
        f"did you mean {pattern_of(name)!r}?"
        if colon and "{" not in head and "}" not in head
        else ("give a key, or a pattern such as 'tenant:*'.")
    )
    raise UsageError(f"the name {shorten_repr(name)} is a template, and no key has it: {meant}")


def pattern_of(key: str) -> str:
    """Give the pattern that holds for a key if no limit has its very name: the part behind the last ':' replaced.

    >>> pattern_of("tenant:7"), pattern_of("shop:3:mail"), pattern_of("stripe")
    ('tenant:*', 'shop:3:*', '*')

    """
    head, colon, _ = key.rpartition(":")
    return f"{head}{colon}*"


def name_of_template(limit_key: str) -> str:
    """Give the name of the limit of all keys that a template makes.

    >>> name_of_template("tenant:{tenant_id}"), name_of_template("stripe")
    ('tenant:*', 'stripe')

    Raises:
        UsageError: no one pattern stands for them.

    """
    if not _FIELD.search(limit_key):
        return limit_key
    head, colon, _ = limit_key.rpartition(":")
    if not colon or _FIELD.search(head):
        raise UsageError(
            f"limit_key={shorten_repr(limit_key)}: no one limit stands for its keys. Give it the form "
            f"'tenant:{{tenant_id}}', "
            "or declare limits with limit('…')."
        )
    return f"{head}:*"


def forget_declared() -> None:
    """Forget what was declared in this process, for tests."""
    declared_limits.clear()
    declared_queue_limits.clear()


def _declare(declared: dict[str, Limit], name: str, new: Limit, call: str) -> None:
    before = declared.setdefault(name, new)
    if before != new:
        raise UsageError(f"{call} was declared before with {before}, and now with {new}: keep one of them.")
