"""Limits declared in code: of a key that jobs have, and of a queue. Workers write them into the tables when they start.

What an operator has set since, by the command line or in SQL, stays: the tables remember what the code wrote last, and
a new declaration changes a row only if the row still has that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import check_name, check_new_queue, check_whole, shown
from pgjobs.flow.rates import Rate, check_burst, parse_rate

MAX_CONCURRENCY = 1_000_000
_FIELD = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """`concurrency`: jobs that run at once, over all workers; `rate`, with `burst`: starts per period.

    None: not limited in that way. With a concurrency of 0 nothing starts.
    """

    concurrency: int | None = None
    rate: Rate | None = None
    burst: float | None = None

    def __str__(self) -> str:
        """Write it for people.

        >>> str(LimitSettings(2, Rate(100, 60), 20))
        '2 at once, 100/min with a burst of 20'
        >>> str(LimitSettings())
        'no limit'

        """
        parts = [] if self.concurrency is None else [f"{self.concurrency} at once"]
        if self.rate is not None:
            parts.append(f"{self.rate}" + (f" with a burst of {self.burst:g}" if self.burst is not None else ""))
        return ", ".join(parts) or "no limit"

    @classmethod
    def of_columns(
        cls, concurrency: int | None, rate: float | None, period: float | None, burst: float | None
    ) -> LimitSettings:
        """Return the limit that columns of `limits` or `queues` describe."""
        if rate is None or period is None:
            return cls(concurrency)
        return cls(concurrency, Rate(rate, period), burst)

    def columns(self) -> dict[str, float | None]:
        """Return it as the columns of `limits` and `queues`; `period` is in seconds."""
        rate = self.rate
        return {
            "concurrency": self.concurrency,
            "rate": None if rate is None else rate.count,
            "period": None if rate is None else rate.period,
            "burst": self.burst,
        }


NO_LIMIT = LimitSettings()

declared_limits: dict[str, LimitSettings] = {}
"""By name of a limit; what was declared in this process."""
declared_queue_limits: dict[str, LimitSettings] = {}
"""By name of a queue; what was declared in this process."""


def declare_limit(
    name: str, *, concurrency: int | None = None, rate: str | None = None, burst: float | None = None
) -> None:
    """Declare the limit of a key (`@job(limit=…)`), apart from any job. Call it where a module is imported.

    `name`: a key such as "stripe", or a pattern that ends in `*`: "tenant:*" applies to "tenant:7", "tenant:8" and each
    other one by itself. `concurrency`: jobs that run at once, over all workers. `rate`: starts per period, such as
    "100/min"; `burst`: how many of them may come at once (None: those of one period).

    Workers write it into the table `limits` when they start. What an operator has set there stays.

    Raises:
        UsageError: a value that cannot be used, or the name was declared otherwise before.

    """
    name = check_no_template(check_limit_name(name))
    _declare(declared_limits, name, make_limit(concurrency, rate, burst), f"the limit {shorten_repr(name)}")


def declare_queue_limit(
    queue: str, *, concurrency: int | None = None, rate: str | None = None, burst: float | None = None
) -> None:
    """Declare the limit of a queue over all workers, as `declare_limit` does for a key.

    Raises:
        UsageError: a value that cannot be used, or the queue's limit was declared otherwise before.

    """
    name = check_new_queue(queue)
    _declare(
        declared_queue_limits, name, make_limit(concurrency, rate, burst), f"the limit of queue {shorten_repr(name)}"
    )


def declare_limit_of(key: str, settings: LimitSettings) -> None:
    """Declare the limit that a job has beside its key; of the key "tenant:{tenant_id}" it is the limit "tenant:*".

    Raises:
        UsageError: no pattern matches all keys of the template, or the limit was declared otherwise before.

    """
    name = check_no_template(check_limit_name(name_of_template(key)))
    _declare(declared_limits, name, settings, f"the limit {shorten_repr(name)}")


def make_limit(concurrency: object = None, rate: object = None, burst: object = None) -> LimitSettings:
    """Return the limit that was given.

    Raises:
        UsageError: a value that cannot be used, or nothing was given.

    """
    if concurrency is None and rate is None and burst is None:
        raise UsageError("a limit without concurrency= and rate= limits nothing: give one of them, or both.")
    number = None if concurrency is None else check_whole("concurrency", concurrency, 0, MAX_CONCURRENCY)
    parsed = None if rate is None else parse_rate(rate)
    return LimitSettings(number, parsed, check_burst(burst, parsed))


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
    """Return the name of a limit that is to be set; a template is refused, because its limit would apply to no key.

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
    """Return the pattern that applies to a key that has no limit of its own: the part behind the last ':' replaced.

    >>> pattern_of("tenant:7"), pattern_of("shop:3:mail"), pattern_of("stripe")
    ('tenant:*', 'shop:3:*', '*')

    """
    head, colon, _ = key.rpartition(":")
    return f"{head}{colon}*"


def name_of_template(key: str) -> str:
    """Return the name of the limit of all keys that a template makes.

    >>> name_of_template("tenant:{tenant_id}"), name_of_template("stripe")
    ('tenant:*', 'stripe')

    Raises:
        UsageError: no one pattern matches them.

    """
    if not _FIELD.search(key):
        return key
    head, colon, _ = key.rpartition(":")
    if not colon or _FIELD.search(head):
        raise UsageError(
            f"{shown('limit', key)}: no one pattern matches its keys. Give it the form 'tenant:{{tenant_id}}', or "
            "declare limits with declare_limit('…')."
        )
    return f"{head}:*"


def forget_declared() -> None:
    """Forget what was declared in this process, for tests."""
    declared_limits.clear()
    declared_queue_limits.clear()


def _declare(declared: dict[str, LimitSettings], name: str, new: LimitSettings, what: str) -> None:
    before = declared.setdefault(name, new)
    if before != new:
        raise UsageError(f"{what} was declared before with {before}, and now with {new}: keep one of them.")
