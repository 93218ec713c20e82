"""Whose turn a job takes: its keys, made from the arguments of each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

from pgjobs.errors import EnqueueError, UsageError
from pgjobs.flow import check_cost
from pgjobs.parameters import parameters_of

if TYPE_CHECKING:
    from datetime import datetime

    from pgjobs.flow import Flow

SEPARATOR = "\x1f"  # of the keys in a lane: it can not be printed, so it is in none of them


class KeyMaker:
    """Makes the keys of one callable's calls; what depends on the callable alone is looked at once."""

    __slots__ = ("_args", "_breaker", "_cost", "_fixed_lane", "_kwargs", "_parameters", "_task", "_templates", "common")

    def __init__(self, callable: Callable[..., Any], task: str, flow: Flow) -> None:
        self._task = task
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        inner: Any = callable
        while isinstance(inner, partial):
            self._args = inner.args + self._args
            self._kwargs = {**inner.keywords, **self._kwargs}
            inner = inner.func
        if isinstance(inner, MethodType):  # of a plain class, around a job
            self._args = (inner.__self__, *self._args)
            inner = inner.__func__
        self._parameters = parameters_of(inner)
        self._cost = flow.cost
        self._breaker = flow.breaker or ""
        made = {template.option: template for template in flow.templates()}
        self._templates = [made.get(option) for option in ("fair_by", "limit_key", "sequence")]
        self._fixed_lane: str | None = None
        if not any(template is not None and template.names for template in made.values()):
            self._fixed_lane = self._joined(self._no_value) if flow.has_lane else ""
        seconds = flow.expires if isinstance(flow.expires, float) else None
        moment = None if seconds is not None else flow.expires
        self.common: dict[str, str | float | datetime | None] = {
            "on_failure": flow.on_failure if flow.sequence is not None else None,
            "expires_at": moment,
            "expires_after": seconds,
        }
        """What is the same for all calls, as parameters of a statement."""

    def lane_and_cost(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str | None, float | None]:
        """Give the lane of one call, with its tenant, limit key, sequence and breaker, and what it costs.

        Raises:
            EnqueueError: an argument can not be part of a key, or is no cost.

        """
        if self._args or self._kwargs:
            args, kwargs = self._args + args, {**self._kwargs, **kwargs}
        value_of = partial(self._value, args, kwargs)
        try:
            lane = self._fixed_lane
            if lane is None:
                lane = self._joined(value_of)
            cost = check_cost(value_of(self._cost)) if isinstance(self._cost, str) else self._cost
        except EnqueueError:
            raise
        except UsageError as error:
            raise EnqueueError(f"{self._task} is refused: {error}") from error.__cause__
        return lane or None, cost

    def _joined(self, value_of: Callable[[str], Any]) -> str:
        keys = ["" if template is None else template.render(value_of) for template in self._templates]
        return SEPARATOR.join((*keys, self._breaker))

    @staticmethod
    def _no_value(name: str) -> Any:
        raise LookupError(name)  # pragma: no cover (no template here names anything)

    def _value(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> Any:
        try:
            return self._parameters.value(name, args, kwargs)
        except LookupError:
            raise EnqueueError(
                f"{self._task} is refused: a key of its options takes the value of {name!r}, and it is not known which "
                "argument that is: give it by name."
            ) from None
