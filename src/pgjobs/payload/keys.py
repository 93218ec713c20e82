"""What holds a job up, made from the arguments of each call: its keys, its cost, and which statement inserts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from pgjobs.core.callables import parameters_of, unwrap
from pgjobs.core.errors import DuplicateJobError, EnqueueError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.flow.options import check_cost
from pgjobs.flow.unique import UniqueBy
from pgjobs.jobs.handle import JobHandle, as_handle, as_handles

if TYPE_CHECKING:
    from pgjobs.flow.keys import Template
    from pgjobs.flow.options import FlowOptions

SEPARATOR = "\x1f"  # of the keys in a lane: it can not be printed, so it is in none of them


class CallKeys(NamedTuple):
    """What is one job's own: its lane (None: it does not wait for a turn), what it costs, and its unique key."""

    lane: str | None
    cost: float | None
    key: str | None


class FlowKeys:
    """Makes the keys of one callable's calls; what depends on the callable alone is looked at once."""

    __slots__ = (
        *("_args", "_by", "_flow", "_inner", "_kwargs", "_lane", "_parameters", "_queue", "_task", "_templates"),
        *("_unique", "common", "is_unique", "name", "name_of_many"),
    )

    def __init__(self, callable: Callable[..., Any], task: str, queue: str, flow: FlowOptions) -> None:
        self._task, self._queue, self._flow = task, queue, flow
        self._inner, self._args, self._kwargs = unwrap(callable)
        self._parameters = parameters_of(self._inner)
        templates = {template.option: template for template in flow.templates()}
        self._templates = [templates.get(option) for option in ("fair_by", "limit_key", "sequence")]
        self._unique: Template | None = templates.get("unique")
        self._by = flow.unique if isinstance(flow.unique, UniqueBy) else None
        self._lane: str | None = None  # the same for all calls
        if not any(template is not None and template.names for template in self._templates):
            self._lane = self._joined(str) if flow.has_lane else ""
        self.is_unique = flow.unique is not None
        """Whether its jobs have a key that only one has at a time."""
        self.name = "enqueue_checked" if flow.is_checked else "enqueue_controlled"
        """The statement that inserts one."""
        self.name_of_many = self.name if flow.is_checked else "enqueue_many_controlled"
        self.common = _common(flow)
        """What is the same for all calls, as parameters of these statements."""

    def call_keys(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallKeys:
        """Give what is one call's own.

        Raises:
            EnqueueError: an argument can not be part of a key, or is no cost.

        """
        if self._args or self._kwargs:
            args, kwargs = self._args + args, {**self._kwargs, **kwargs}
        value_of = partial(self._value, args, kwargs)
        try:
            lane, cost, key = self._lane, self._flow.cost, None
            if lane is None:
                lane = self._joined(value_of)
            if isinstance(cost, str):
                cost = check_cost(value_of(cost))
            if self._unique is not None:
                key = self._unique.render(value_of)
            elif self._by is not None:
                key = self._digest(self._by, args, kwargs)
        except EnqueueError:
            raise
        except UsageError as error:
            raise EnqueueError(f"{self._task} is refused: {error}") from error.__cause__
        return CallKeys(lane or None, cost, key)

    def row_values(
        self, call_keys: CallKeys, payload: bytes, summary: str | None, signature: bytes | None
    ) -> dict[str, Any]:
        """Give what the statement for one job needs beside a recipe's columns."""
        if self._flow.is_checked:
            values: dict[str, Any] = {
                "summaries": None if summary is None else [summary],
                "signatures": None if signature is None else [signature],
                "payloads": [payload],
            }
            return values | self.batch_values([call_keys])
        own = {
            "summary": summary,
            "signature": signature,
            "payload": payload,
            "lane": call_keys.lane,
            "cost": call_keys.cost,
        }
        return own | self.common

    def batch_values(self, call_keys: Sequence[CallKeys]) -> dict[str, Any]:
        """Give what the statement for many needs beside their payloads: each is there for all of them, or for none."""
        lanes, costs, keys = zip(*call_keys, strict=True)
        values: dict[str, Any] = {
            "lanes": None if lanes[0] is None else list(lanes),
            "costs": None if costs[0] is None else list(costs),
        }
        if self._flow.is_checked:
            values["keys"] = None if keys[0] is None else list(keys)
        return values | self.common

    def handles(self, ids: Sequence[int], values: Mapping[str, Any], *, first: int | None = None) -> list[JobHandle]:
        """Read what a statement gave; `first` is the number of the first item, where they are counted.

        Raises:
            DuplicateJobError: another job has the key, and that is to be an error.
            EnqueueError: a job that these were to wait for does not exist.

        """
        if not self._flow.is_checked:
            return as_handles(ids)
        if ids[0] == 0 and max(ids) > 0:
            missing = ", ".join(map(str, ids[1:9])) + (", …" if len(ids) > 9 else "")
            raise EnqueueError(
                f"{self._task} is refused: it is to wait for {missing} (after=), and there is no such job, or not yet "
                "for this transaction: leave it out if it has finished long ago."
            )
        if min(ids) > 0:
            return as_handles(ids)
        if self._flow.on_conflict == "raise":
            self._raise(ids, values["keys"], first)
        return list(map(as_handle, ids))

    def _raise(self, ids: Sequence[int], keys: list[str], first: int | None) -> None:
        index = next(index for index, job in enumerate(ids) if job < 0)
        key = keys[index]
        before = keys.index(key)
        who = f"item {(first or 0) + before}" if before < index else f"job {-ids[index]}"
        where = "" if first is None else f"item {first + index} of enqueue_many is refused: "
        raise DuplicateJobError(
            f"{where}{who} has the key {shorten_repr(key)} of {self._task} already: leave out on_conflict='raise' to "
            "get its "
            "handle instead.",
            key,
            None if before < index else -ids[index],
        )

    def _joined(self, value_of: Callable[[str], Any]) -> str:
        keys = ["" if template is None else template.render(value_of) for template in self._templates]
        return SEPARATOR.join((*keys, self._flow.breaker or ""))

    def _value(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> Any:
        try:
            return self._parameters.value(name, args, kwargs)
        except LookupError:
            raise EnqueueError(
                f"{self._task} is refused: a key of its options takes the value of {shorten_repr(name)}, and it is not "
                "known "
                "which argument that is: give it by name."
            ) from None

    def _digest(self, by: UniqueBy, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        from pgjobs.flow.digest import digest  # hashlib takes its time to load

        same: dict[str, Any] = {"task": self._task}
        if "queue" in by.parts:
            same["queue"] = self._queue
        if "args" in by.parts:
            method = getattr(self._inner, "function", None)
            same["self"] = method.__self__ if isinstance(method, MethodType) else None
            same["args"] = dict(self._parameters.bound(args, kwargs))
        return f"by:{digest(same)}"


def _common(flow: FlowOptions) -> dict[str, Any]:
    seconds = flow.expires if isinstance(flow.expires, float) else None
    common: dict[str, Any] = {
        "on_failure": None if flow.sequence is None else flow.on_failure,
        "expires_at": None if seconds is not None else flow.expires,
        "expires_after": seconds,
    }
    if flow.is_checked:
        common |= {
            "until_started": flow.unique_until == "started",
            "period": flow.unique_until if isinstance(flow.unique_until, float) else None,
            "on_conflict": flow.on_conflict,
            "needed": list(flow.after) if flow.after else None,
            "if_failed": flow.if_failed,
        }
    return common
