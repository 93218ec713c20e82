"""The options that hold jobs up: which turn a job waits for, what it waits for, and until when it is worth running."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, Protocol, TypedDict

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import (
    MIN_SECONDS,
    Seconds,
    as_int,
    as_seconds,
    as_str,
    check_choice,
    check_datetime,
    check_seconds,
    has_type,
    shown,
)
from pgjobs.flow.batch import BATCH_BY, Batch
from pgjobs.flow.keys import Template, check_key
from pgjobs.flow.stage import Stage
from pgjobs.flow.values import Limit, OnConflict, Sequence, Unique

IfFailed = Literal["wait", "run", "cancel", "skip"]
IF_FAILED = ("wait", "run", "cancel", "skip")
MAX_NEEDED = 10_000
_MAX_ID = 2**63 - 1
_NOT_IN_BATCHES = {
    "limit": "a limit counts jobs, and not the calls that batches make of them: bound those by the slots of a queue.",
    "sequence": "the jobs of a sequence run one after another: take Batch(by=…), whose batches are not ordered.",
    "breaker": "a breaker counts what single jobs say of a service: raise Snooze or Retry in the batch.",
}


class Handle(Protocol):
    """What `after=` takes: a handle of a job, or anything else that has its `id`."""

    @property
    def id(self) -> int:
        """The id of the job."""
        ...


class Unnumbered:
    """What `after=` takes beside that: a step of a workflow, which gets its id when that is enqueued."""

    __slots__ = ()


class NamedBreaker(Protocol):
    """What `breaker=` takes beside a name: a `Breaker`, or anything else that has its `name`."""

    @property
    def name(self) -> str:
        """The name of the breaker."""
        ...


class FlowArguments(TypedDict, total=False):
    """The options of `@job` and `Job.options` that hold jobs up."""

    limit: str | Limit | None
    """The key that limits look at, or the key with its limit."""
    fair_by: str | None
    """The parameter whose value says whose job it is, or a template: these take turns."""
    sequence: str | Sequence | None
    """A key whose jobs run one after another, in the order of their enqueues."""
    breaker: str | NamedBreaker | None
    """A circuit breaker, or the name of one."""
    expires: Seconds | datetime | None
    """When the job is no longer worth running: a duration from when it is due, or a datetime with a time zone."""
    unique: str | Unique | None
    """A key that one job has at a time."""


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """What holds a job up: `FlowArguments`, checked. For most jobs nothing is set, and then it costs nothing.

    A text is kept as the value that it is short for, `breaker` as its name, `expires` in seconds or as a datetime.
    `after`: the ids of the jobs that have to end before, and steps of the same workflow. `if_failed`: what the job does
    when one of these fails or is cancelled: wait, run, cancel itself, or be skipped. `batch`: its jobs wait for others
    with which they run together. `stage`: its jobs are items of a pipeline, in this stage of it.

    Raises:
        UsageError: a value that cannot be used.

    """

    limit: Limit | None = None
    fair_by: str | None = None
    sequence: Sequence | None = None
    breaker: str | None = None
    expires: float | datetime | None = None
    unique: Unique | None = None
    after: tuple[int | Unnumbered, ...] | None = None
    if_failed: IfFailed = "wait"
    batch: Batch | None = None
    stage: Stage | None = None

    def __post_init__(self) -> None:
        for name, kind in (("limit", Limit), ("sequence", Sequence), ("unique", Unique)):
            value = getattr(self, name)
            if value is not None and not has_type(value, kind):
                if as_str(value) is None:
                    expected = f"give a key, such as 'tenant:{{id}}', or a {kind.__name__}"
                    raise UsageError(f"{shown(name, value)}: {expected}.")
                self._keep(name, kind(value))
        if self.fair_by is not None:
            self._keep("fair_by", _checked_fair_by(self.fair_by))
        if self.breaker is not None:
            self._keep("breaker", _breaker_name(self.breaker))
        if self.expires is not None:
            self._keep("expires", _checked_expires(self.expires))
        self._keep("if_failed", check_choice("if_failed", self.if_failed, IF_FAILED))
        if self.after is not None:
            self._keep("after", check_after(self.after))
            if self.after and self.on_conflict == "replace":
                raise UsageError("after= and Unique(on_conflict='replace') were both given: use one of them.")
        if self.batch is not None:
            self._check_batch()

    def _check_batch(self) -> None:
        if not has_type(self.batch, Batch):
            raise UsageError(f"{shown('batch', self.batch)}: give a Batch, such as Batch(100, wait=0.5).")
        for name, reason in _NOT_IN_BATCHES.items():
            if getattr(self, name) is not None:
                raise UsageError(f"batch= and {name}= were both given: {reason}")

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def cost(self) -> float | str | None:
        """What a job takes from the rate of its limit, or the name of the parameter that is the cost."""
        return None if self.limit is None else self.limit.cost

    @property
    def on_conflict(self) -> OnConflict:
        """What an enqueue does where another job has the unique key."""
        return "skip" if self.unique is None else self.unique.on_conflict

    @property
    def has_lane(self) -> bool:
        """Whether its jobs take turns with others.

        Those that expire do, because claims of plain jobs look at no more than when these are due.
        """
        return any(
            x is not None
            for x in (self.fair_by, self.limit, self.sequence, self.breaker, self.expires, self.batch, self.stage)
        )

    @property
    def is_used(self) -> bool:
        """Whether its jobs are inserted by another statement than plain ones."""
        return self.has_lane or bool(self.after) or self.unique is not None

    @property
    def is_checked(self) -> bool:
        """Whether its jobs, if it is used, are inserted by the function that looks at other jobs.

        Those that do not wait for a turn are, too: they are few.
        """
        return self.unique is not None or bool(self.after) or not self.has_lane

    def templates(self) -> Iterator[Template]:
        """Yield what is made from a call's arguments and metadata, as far as it is set; `option`: the option's name."""
        if self.fair_by is not None:
            yield Template("fair_by", f"{{{self.fair_by}}}" if self.fair_by.isidentifier() else self.fair_by)
        if self.limit is not None:
            yield Template("limit", self.limit.key)
        if self.sequence is not None:
            yield Template("sequence", self.sequence.key)
        if self.unique is not None and self.unique.key is not None:
            yield Template("unique", self.unique.key)
        if self.batch is not None and self.batch.template is not None:
            yield self.batch.template

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield each option that names parameters, as it was given, with each of the names."""
        for template in self.templates():
            if template.option == BATCH_BY:  # its names are of the item, and not of parameters
                continue
            text = self.fair_by if template.option == "fair_by" else template.text
            yield from ((shown(template.option, text), name) for name in template.names)
        if isinstance(self.cost, str):
            yield shown("cost", self.cost), self.cost

    def columns(self, *, checked: bool) -> dict[str, Any]:
        """Return the parameters of an enqueue's statement that are the same for all calls.

        `checked`: whether the statement is `enqueue_after_checks`, which looks at other jobs.
        """
        seconds = self.expires if isinstance(self.expires, float) else None
        columns: dict[str, Any] = {
            "on_failure": None if self.sequence is None else self.sequence.on_failure,
            "expires_at": None if seconds is not None else self.expires,
            "expires_after": seconds,
        }
        if checked:
            columns |= {
                "until_started": self.unique is not None and self.unique.until == "started",
                "period": None if self.unique is None else self.unique.period,
                "on_conflict": self.on_conflict,
                "needed": self._needed(),
                "if_failed": self.if_failed,
            }
        return columns

    def _needed(self) -> list[int] | None:
        """Return the ids of the jobs that have to end before.

        Raises:
            UsageError: a step of a workflow is among them, and has none.

        """
        ids = [job for job in self.after or () if not isinstance(job, Unnumbered)]
        if len(ids) < len(self.after or ()):
            raise UsageError(
                "after= has a step of a workflow, which only other steps of that workflow can wait for: add the job to "
                "it, with flow.add."
            )
        return ids or None


NO_FLOW = FlowOptions()
FLOW_OPTIONS = frozenset(field.name for field in fields(FlowOptions))


def check_after(after: Any) -> tuple[int | Unnumbered, ...]:
    """Return the ids of the jobs that one waits for, each once, and the steps.

    Raises:
        UsageError: they are neither handles nor ids, or more than 10,000.

    """
    try:
        if has_type(after, str) or has_type(after, bytes):
            raise TypeError
        if not issubclass(type(after), Iterable):  # one job needs no list
            after = (after,)
        given = list(after)
        steps = [job for job in given if has_type(job, Unnumbered)]
        ids = {as_int(job if as_int(job) is not None else job.id) for job in given if not has_type(job, Unnumbered)}
    except Exception:  # an object of any class, which may raise anything
        raise UsageError(f"after={shorten_repr(after)}: give a list of what enqueue returned, or of ids.") from None
    known = sorted(job for job in ids if job is not None and 1 <= job <= _MAX_ID)
    if len(known) != len(ids):
        raise UsageError(f"after={shorten_repr(after)}: give a list of what enqueue returned, or of ids from 1 on.")
    if len(known) > MAX_NEEDED:
        raise UsageError(
            f"after= has {len(known):,} jobs, the maximum is {MAX_NEEDED:,}: let one job wait for some of them."
        )
    return (*known, *steps)


def _checked_fair_by(value: object) -> str:
    fair_by = as_str(value)
    if fair_by is None or not ("{" in fair_by or "}" in fair_by or fair_by.isidentifier()):
        raise UsageError(
            f"{shown('fair_by', value)}: give the name of the parameter that says whose job it is, or a template such "
            "as '{country}:{tenant_id}'."
        )
    if not fair_by.isidentifier():
        Template("fair_by", fair_by)
    return fair_by


def _breaker_name(breaker: Any) -> str:
    if as_str(breaker) is None:
        try:
            breaker = breaker.name
        except Exception:  # not a breaker, or an object whose attributes raise
            raise UsageError(f"breaker={shorten_repr(breaker)}: give a Breaker, or the name of one.") from None
    return check_key("breaker", breaker)


def _checked_expires(expires: object) -> float | datetime:
    if as_seconds(expires) is None:
        return check_datetime("expires", expires, or_else="seconds or a timedelta from when it is due")
    return check_seconds("expires", expires, least=MIN_SECONDS, or_else="a datetime")
