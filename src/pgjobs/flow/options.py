"""The options that hold jobs up: whose turn it is, what a job counts for, and when it is not worth running any more."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import (
    MIN_SECONDS,
    as_number,
    as_seconds,
    as_str,
    check_choice,
    check_datetime,
    check_seconds,
    is_exactly,
)
from pgjobs.flow.keys import Template, check_key
from pgjobs.flow.unique import IfFailed, OnConflict, UniqueBy, UniqueUntil, check_after, check_until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Protocol

    class NamedBreaker(Protocol):
        """A circuit breaker, as far as it is known here."""

        @property
        def name(self) -> str:
            """What its jobs know it by."""


OnFailure = Literal["block", "skip", "end"]
MAX_COST = 1_000_000.0


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """How a job is held up. Nothing of it is set for most jobs, and then it costs nothing.

    `limit_key`: the key that limits look at. `cost`: tokens that it takes from a limit's rate (None: 1), or the name of
    the parameter that says how many. `fair_by`: the parameter whose value is the tenant, or a template. `sequence`: the
    jobs of one key run one after another. `on_failure`: what a failed job does to its sequence: block, skip or end.
    `breaker`: the name of a circuit breaker. `expires`: when it is not worth running any more, as an aware datetime or
    in seconds after it is due.

    `unique`: a key that one job has at a time, or `by(…)`. `unique_until`: how long it has it: until it has finished,
    or started; or until it has finished, and for so many seconds from when it was enqueued. `on_conflict`: what happens
    to another one: skip it, replace the job that is there, or raise. `after`: the ids of the jobs that have to end
    before. `if_failed`: what it does when one of them fails or is cancelled: wait, run or cancel.

    Keys have 1 to 100 printable characters; with braces they are templates, as in `tenant:{tenant_id}`.

    Raises:
        UsageError: a value that can not be used.

    """

    limit_key: str | None = None
    cost: float | str | None = None
    fair_by: str | None = None
    sequence: str | None = None
    on_failure: OnFailure = "block"
    breaker: str | None = None
    expires: float | datetime | None = None
    unique: str | UniqueBy | None = None
    unique_until: UniqueUntil = "finished"
    on_conflict: OnConflict = "skip"
    after: tuple[int, ...] | None = None
    if_failed: IfFailed = "wait"

    def __post_init__(self) -> None:
        for name in ("limit_key", "sequence"):
            self._keep_template(name, getattr(self, name))
        if self.fair_by is not None:
            fair_by = as_str(self.fair_by)
            if fair_by is None or not ("{" in fair_by or "}" in fair_by or fair_by.isidentifier()):
                raise UsageError(
                    f"fair_by={shorten_repr(self.fair_by)}: give the name of the parameter that says whose job it is, "
                    "or a "
                    "template such as '{country}:{tenant_id}'."
                )
            self._keep("fair_by", fair_by)
            if not fair_by.isidentifier():
                Template("fair_by", fair_by)
        if self.cost is not None:
            self._keep("cost", _checked_cost(self.cost))
        self._keep("on_failure", check_choice("on_failure", self.on_failure, ("block", "skip", "end")))
        if self.breaker is not None:
            self._keep("breaker", _breaker_name(self.breaker))
        if self.expires is not None:
            self._keep("expires", _checked_expires(self.expires))
        if not is_exactly(self.unique, UniqueBy):
            self._keep_template("unique", self.unique)
        self._keep("unique_until", check_until(self.unique_until))
        self._keep("on_conflict", check_choice("on_conflict", self.on_conflict, ("skip", "replace", "raise")))
        self._keep("if_failed", check_choice("if_failed", self.if_failed, ("wait", "run", "cancel")))
        if self.after is not None:
            self._keep("after", check_after(self.after))
            if self.after and self.unique is not None and self.on_conflict == "replace":
                raise UsageError("after= and on_conflict='replace' were both given: use one of them.")

    def _keep(self, name: str, value: object) -> None:
        """Put the plain value in the place of a subclass's."""
        if getattr(self, name) is not value:
            object.__setattr__(self, name, value)

    def _keep_template(self, name: str, value: object) -> None:
        if value is None:
            return
        text = as_str(value)
        Template(name, check_key(name, value) if text is None else text)
        self._keep(name, text)

    @property
    def has_lane(self) -> bool:
        """Say whether its jobs take turns with others.

        Those that expire do, because claims of plain jobs look at no more than when these are due.
        """
        return any(x is not None for x in (self.fair_by, self.limit_key, self.sequence, self.breaker, self.expires))

    @property
    def is_used(self) -> bool:
        """Say whether its jobs are inserted by another statement than plain ones."""
        return self.has_lane or bool(self.after) or self.unique is not None or self.cost is not None

    @property
    def is_checked(self) -> bool:
        """Say whether its jobs, if it is used, are inserted by the function that looks at other jobs.

        Those that do not wait for a turn are, too: they are few.
        """
        return self.unique is not None or bool(self.after) or not self.has_lane

    def templates(self) -> Iterator[Template]:
        """Give what is made from a call's arguments, as far as it is set."""
        if self.fair_by is not None:
            yield Template("fair_by", f"{{{self.fair_by}}}" if self.fair_by.isidentifier() else self.fair_by)
        if self.limit_key is not None:
            yield Template("limit_key", self.limit_key)
        if self.sequence is not None:
            yield Template("sequence", self.sequence)
        if isinstance(self.unique, str):
            yield Template("unique", self.unique)

    def named(self) -> Iterator[tuple[str, str]]:
        """Give each option that names parameters, with each of the names."""
        for template in self.templates():
            yield from ((template.option, name) for name in template.names)
        if isinstance(self.cost, str):
            yield "cost", self.cost


NO_FLOW = FlowOptions()
FLOW_OPTIONS = frozenset(field.name for field in fields(FlowOptions))

# What an option is for, by its name, and the other one without which it does nothing.
_HALVES = {
    "cost": ("limit_key", "it is what a job takes from the rate of its limit."),
    "on_failure": (
        "sequence",
        "it is what a failed job does to its sequence. What a job does when one that it waits for fails is if_failed=.",
    ),
    "unique_until": ("unique", "it is how long a job has its unique key."),
    "on_conflict": ("unique", "it is what happens to another job with the same unique key."),
    "if_failed": (
        "after",
        "it is what a job does when one that it waits for fails. What it does to its sequence is on_failure=.",
    ),
}


def check_dependent_options(flow: FlowOptions, given: Collection[str]) -> None:
    """Refuse an option that was given, and has no effect without another one that is not there.

    Those that a job has from before may lose the other one: `limit_key=None` is how one of its jobs is not limited.

    Raises:
        UsageError: there is one.

    """
    for option, (other, meaning) in _HALVES.items():
        value = getattr(flow, option)
        if option in given and value != getattr(NO_FLOW, option) and getattr(flow, other) is None:
            raise UsageError(f"{option}={shorten_repr(value)} does nothing without {other}=: {meaning}")


def _checked_cost(cost: object) -> float | str:
    name = as_str(cost)
    if name is not None and name.isidentifier():
        return name
    return check_cost(cost)


def check_cost(cost: object) -> float:
    """Give the tokens that a job takes from a rate.

    Raises:
        UsageError: it is no number above 0, or too large.

    """
    number = as_number(cost)
    # A cost is stored with 32 bits: what becomes 0 there is none.
    if number is None or not 1e-6 <= number <= MAX_COST:
        raise UsageError(
            f"cost={shorten_repr(cost)}: give a number from 0.000001 to {MAX_COST:,.0f}, or the name of the parameter "
            "that is one."
        )
    return float(number)


def _breaker_name(breaker: Any) -> str:
    if as_str(breaker) is None:
        try:
            breaker = breaker.name
        except Exception:  # it is no breaker, or an object that answers nonsense
            raise UsageError(f"breaker={shorten_repr(breaker)}: give a Breaker, or the name of one.") from None
    return check_key("breaker", breaker)


def _checked_expires(expires: object) -> float | datetime:
    if as_seconds(expires) is None:
        return check_datetime("expires", expires, or_else="seconds or a timedelta from when it is due")
    return check_seconds("expires", expires, least=MIN_SECONDS, or_else="a datetime")
