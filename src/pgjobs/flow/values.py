"""The values of options that hold jobs up: `Limit`, `Unique` and `Sequence`. Each checks what it is made of.

A key has 1 to 100 printable characters. With braces it is a template over the arguments of a call, as in
"tenant:{tenant_id}". Where a key alone is enough, a text can be given instead of a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import MIN_SECONDS, Seconds, as_number, as_str, check_choice, check_seconds
from pgjobs.flow.keys import Template, check_key
from pgjobs.flow.limits import LimitSettings, make_limit

OnFailure = Literal["block", "skip", "end"]
OnConflict = Literal["skip", "replace", "raise"]
UniqueUntil = Literal["finished", "started"] | Seconds
UniquePart = Literal["args", "queue", "task"]
MAX_COST = 1_000_000.0
_PARTS = ("args", "queue", "task")


@dataclass(frozen=True, slots=True, init=False)
class Limit:
    """The limit that the jobs of one key share: `Limit("tenant:{tenant}", concurrency=2, rate="100/min")`.

    `key`: what limits look at. `concurrency`: jobs of a key that run at once, over all workers (0: none). `rate`:
    starts per period, such as "100/min", "10/s" or "10/30s"; `burst`: how many of them may come at once (None: those of
    one period). `cost`: tokens that a job takes from the rate (None: 1), or the name of the parameter that is the cost.

    Without `concurrency` and `rate` a job has the key, and the limit is what `declare_limit` or an operator says.

    Raises:
        UsageError: a value that cannot be used.

    """

    key: str
    concurrency: int | None
    rate: str | None
    burst: float | None
    cost: float | str | None

    def __init__(
        self,
        key: str,
        *,
        concurrency: int | None = None,
        rate: str | None = None,
        burst: float | None = None,
        cost: float | str | None = None,
    ) -> None:
        settings = None
        if not (concurrency is None and rate is None and burst is None):
            settings = make_limit(concurrency, rate, burst)
        _set(self, "key", _template("limit", key))
        _set(self, "concurrency", settings and settings.concurrency)
        _set(self, "rate", None if settings is None or settings.rate is None else str(settings.rate))
        _set(self, "burst", settings and settings.burst)
        _set(self, "cost", None if cost is None else _cost_or_name(cost))

    @property
    def settings(self) -> LimitSettings | None:
        """The limit of each key; None if there is only the key."""
        if self.concurrency is None and self.rate is None:
            return None
        return make_limit(self.concurrency, self.rate, self.burst)


@dataclass(frozen=True, slots=True, init=False)
class Unique:
    """A key that one job has at a time, whatever its task: `Unique("sync:{tenant}", on_conflict="replace")`.

    `until`: how long a job has the key: until it has "finished" or "started"; or a duration, for which it has the key
    from its enqueue on, and at least until it has finished. `on_conflict`: what an enqueue does where another job has
    the key: "skip" it, and return the handle of that job; "replace" the arguments, run_at, priority and so on of that
    job if it has not started; or "raise" DuplicateJobError.

    Raises:
        UsageError: a value that cannot be used.

    """

    key: str | None
    """None: the key is made from `parts`."""
    until: Literal["finished", "started"] | float
    on_conflict: OnConflict
    parts: frozenset[str] = field(init=False)

    def __init__(self, key: str, *, until: UniqueUntil = "finished", on_conflict: OnConflict = "skip") -> None:
        self._fill(_template("unique", key), frozenset(), until, on_conflict)

    @classmethod
    def by(cls, *parts: UniquePart, until: UniqueUntil = "finished", on_conflict: OnConflict = "skip") -> Unique:
        """Make the key from the call: `Unique.by("args", "queue")`. The task is always part of it.

        "args" compares the arguments by value, however they were passed and with the defaults filled in.

        Raises:
            UsageError: no part is given, or one that is not "args", "queue" or "task".

        """
        names = [as_str(part) for part in parts]
        if not names or any(name not in _PARTS for name in names):
            raise UsageError(
                f"Unique.by({', '.join(map(shorten_repr, parts))}): give 'args', 'queue' or 'task', or several of them."
            )
        made: Unique = object.__new__(cls)
        made._fill(None, frozenset(name for name in names if name is not None), until, on_conflict)
        return made

    def _fill(self, key: str | None, parts: frozenset[str], until: object, on_conflict: object) -> None:
        _set(self, "key", key)
        _set(self, "parts", parts)
        text = as_str(until)
        if text not in ("finished", "started"):
            text = None
        or_else = "'finished' or 'started'"
        _set(self, "until", text or check_seconds("Unique.until", until, least=MIN_SECONDS, or_else=or_else))
        _set(self, "on_conflict", check_choice("Unique.on_conflict", on_conflict, ("skip", "replace", "raise")))

    @property
    def period(self) -> float | None:
        """Seconds from the enqueue for which a job has the key; None: until it has started or finished."""
        return self.until if isinstance(self.until, float) else None


@dataclass(frozen=True, slots=True, init=False)
class Sequence:
    """Jobs of one key that run one after another, in the order of their enqueues: `Sequence("account:{account}")`.

    `on_failure`: what a failed job does to the jobs behind it: "block" them until an operator decides, let them "skip"
    it, or "end" the sequence, which cancels them.

    Raises:
        UsageError: a value that cannot be used.

    """

    key: str
    on_failure: OnFailure

    def __init__(self, key: str, *, on_failure: OnFailure = "block") -> None:
        _set(self, "key", _template("sequence", key))
        _set(self, "on_failure", check_choice("Sequence.on_failure", on_failure, ("block", "skip", "end")))


def check_cost(cost: object) -> float:
    """Return the tokens that a job takes from a rate.

    Raises:
        UsageError: it is not a number from 0.000001 to a million.

    """
    number = as_number(cost)
    # A cost is stored with 32 bits: less would be stored as 0.
    if number is None or not 1e-6 <= number <= MAX_COST:
        raise UsageError(
            f"cost={shorten_repr(cost)}: give a number from 0.000001 to {MAX_COST:,.0f}, or the name of the parameter "
            "that is one."
        )
    return float(number)


def _cost_or_name(cost: object) -> float | str:
    name = as_str(cost)
    return name if name is not None and name.isidentifier() else check_cost(cost)


def _template(option: str, key: object) -> str:
    text = as_str(key)
    if text is None:
        return check_key(option, key)  # which says what is wrong
    Template(option, text)
    return text


def _set(value: object, name: str, given: object) -> None:
    object.__setattr__(value, name, given)
