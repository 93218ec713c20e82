"""Flow control of one callable's calls: keys, cost, and which statement inserts the job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple, get_origin

from pgjobs.core.callables import item_type, parameters_of, unwrap
from pgjobs.core.errors import DuplicateJobError, EnqueueError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.flow.batch import BATCH_BY, key_of_item
from pgjobs.flow.keys import text_of
from pgjobs.flow.stage import MAX_LANE
from pgjobs.flow.values import check_cost
from pgjobs.jobs.handle import JobHandle, as_handle, as_handles

if TYPE_CHECKING:
    from pgjobs.core.callables import Parameters
    from pgjobs.flow.keys import Template
    from pgjobs.flow.options import FlowOptions

SEPARATOR = "\x1f"  # of the keys in a lane: it cannot be printed, so no key contains it
_LANE_OPTIONS = ("fair_by", "limit", "sequence")


class CallKeys(NamedTuple):
    """The flow control of one call: its lane (None: it is in none), what it costs, and its unique key."""

    lane: str | None
    cost: float | None
    key: str | None


class _Argument(NamedTuple):
    """An argument that keys are made of, and where a call has it."""

    name: str
    option: str  # the first one that takes it
    position: int  # sys.maxsize: only by name
    default: Any


_MISSING = object()


class FlowKeys:
    """Makes the keys of one callable's calls. Templates and positions are looked up once, here."""

    __slots__ = (
        *(
            "_args",
            "_arguments",
            "_batch",
            "_batch_by",
            "_breaker",
            "_by",
            "_cost",
            "_cost_argument",
            "_flow",
            "_function",
            "_is_checked",
            "_kwargs",
        ),
        *("_lane", "_lane_parts", "_parameters", "_queue", "_same_lane", "_stage", "_task", "_unique", "_unsure"),
        *("batch_statement", "common", "is_unique", "statement"),
    )

    def __init__(
        self,
        callable: Callable[..., Any],
        task: str,
        queue: str,
        flow: FlowOptions,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        self._task, self._queue, self._flow = task, queue, flow
        self._function, self._args, self._kwargs = unwrap(callable)
        self._parameters = parameters_of(self._function)
        self._breaker = flow.breaker or ""
        templates = {template.option: template for template in _with_meta(flow, task, meta or {})}
        self._batch = None if flow.batch is None else f"{SEPARATOR}{flow.batch.lane_part(task, '')}"
        """The end of its lanes, without the key that `_batch_by` makes."""
        self._batch_by: Template | None = templates.pop(BATCH_BY, None)
        self._stage = None if flow.stage is None else f"{SEPARATOR}{flow.stage.key}"
        """The same, of an item of a pipeline."""
        parts = [templates.get(option) for option in _LANE_OPTIONS]
        self._same_lane = not any(part is not None and part.names for part in parts)
        """Whether all calls have the same lane: `_lane`. Otherwise it is made of `_lane_parts`."""
        self._lane_parts: tuple[Template | None, ...] = tuple(parts)
        self._lane: str | None = None
        if self._same_lane and flow.has_lane:
            self._lane = SEPARATOR.join((*("" if part is None else part.render({}) for part in parts), self._breaker))
        self._unique: Template | None = templates.get("unique")
        self._by = None if flow.unique is None else flow.unique.parts
        self._cost = None if isinstance(flow.cost, str) else flow.cost
        self._cost_argument = _argument(self._parameters, "cost", flow.cost) if isinstance(flow.cost, str) else None
        named: dict[str, _Argument] = {}
        for template in templates.values():
            for name in template.names:
                named.setdefault(name, _argument(self._parameters, template.option, name))
        self._arguments = tuple(named.values())
        unsure_from = self._parameters.unsure_from
        self._unsure: tuple[str, ...] = ()
        """Those of which a decorator may have shifted the position."""
        if unsure_from is not None:
            found = [*named.values(), *filter(None, [self._cost_argument])]
            self._unsure = tuple(each.name for each in found if unsure_from <= each.position < sys.maxsize)
        self.is_unique = flow.unique is not None
        """Whether its jobs have a key that only one job has at a time."""
        self._is_checked = flow.is_checked
        self.statement = "enqueue_after_checks" if flow.is_checked else "enqueue_in_lane"
        """The name of the statement that inserts one job."""
        self.batch_statement = "enqueue_after_checks" if flow.is_checked else "enqueue_many_in_lane"
        self.common = flow.columns(checked=flow.is_checked)
        """The parameters of these statements that are the same for all calls."""

    def call_keys(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallKeys:
        """Return the keys and the cost of one call. Each argument is read and written as text once.

        Raises:
            EnqueueError: an argument cannot be part of a key, or is not a cost.

        """
        if self._args or self._kwargs:
            args, kwargs = self._args + args, {**self._kwargs, **kwargs}
        lane, cost, key = self._lane, self._cost, None
        count = len(args)
        if self._unsure and not self._parameters.is_plausible(args, kwargs):
            for name in self._unsure:
                if name not in kwargs:
                    raise self._unknown(name)
        texts: dict[str, str] = {}
        try:
            for name, option, position, default in self._arguments:
                value = args[position] if position < count else kwargs.get(name, default)
                kind = type(value)
                if kind is str:
                    texts[name] = value
                elif kind is int and -1_000_000_000 < value < 1_000_000_000:
                    texts[name] = repr(value)
                elif value is _MISSING:
                    raise self._unknown(name)
                else:
                    texts[name] = text_of(option, name, value)
            if not self._same_lane:
                fair_by, limit_key, sequence = self._lane_parts
                lane = (
                    f"{'' if fair_by is None else fair_by.render(texts)}{SEPARATOR}"
                    f"{'' if limit_key is None else limit_key.render(texts)}{SEPARATOR}"
                    f"{'' if sequence is None else sequence.render(texts)}{SEPARATOR}{self._breaker}"
                )
            if self._cost_argument is not None:
                name, _, position, default = self._cost_argument
                value = args[position] if position < count else kwargs.get(name, default)
                if value is _MISSING:
                    raise self._unknown(name)
                cost = check_cost(value)
            if self._unique is not None:
                key = self._unique.render(texts)
            elif self._by:
                key = self._digest(self._by, args, kwargs)
            if self._batch is not None:
                lane = f"{lane}{self._batch}{self._batch_key(args, kwargs)}"
            if self._stage is not None:
                lane = self._lane_of_stage(lane or "")
        except EnqueueError:
            raise
        except UsageError as error:
            raise EnqueueError(f"{self._task} is refused: {error}") from error.__cause__
        return CallKeys(lane, cost, key)

    def row_values(
        self, call_keys: CallKeys, payload: bytes, summary: str | None, signature: bytes | None
    ) -> dict[str, Any]:
        """Return the parameters of `statement` for one job, beside the columns that all jobs share."""
        lane, cost, key = call_keys
        if self._is_checked:
            return {
                "summaries": None if summary is None else [summary],
                "signatures": None if signature is None else [signature],
                "payloads": [payload],
                "lanes": None if lane is None else [lane],
                "costs": None if cost is None else [cost],
                "keys": None if key is None else [key],
                **self.common,
            }
        return {
            "summary": summary,
            "signature": signature,
            "payload": payload,
            "lane": lane,
            "cost": cost,
            **self.common,
        }

    def batch_values(self, call_keys: Sequence[CallKeys]) -> dict[str, Any]:
        """Return the parameters of `batch_statement` beside those of plain jobs. Each is there for all jobs or none."""
        lanes, costs, keys = zip(*call_keys, strict=True)
        values: dict[str, Any] = {
            "lanes": None if lanes[0] is None else list(lanes),
            "costs": None if costs[0] is None else list(costs),
        }
        if self._is_checked:
            values["keys"] = None if keys[0] is None else list(keys)
        return values | self.common

    def handles(
        self, ids: Sequence[int], values: Mapping[str, Any], *, first: int | None = None
    ) -> list[JobHandle[Any]]:
        """Return the handles of the jobs that a statement inserted or found.

        `first`: the index of the first item in a call of `enqueue_many`.

        Raises:
            DuplicateJobError: another job has the key, and `on_conflict="raise"`.
            EnqueueError: a job that these wait for does not exist.

        """
        if not self._is_checked:
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
            "get its handle instead.",
            key,
            None if before < index else -ids[index],
        )

    def _lane_of_stage(self, lane: str) -> str:
        """Return the lane of an item, whose stage is the sixth part.

        Raises:
            EnqueueError: its keys are too long together.

        """
        lane = f"{lane}{'' if self._batch else SEPARATOR}{self._stage}"
        if len(lane) > MAX_LANE:
            raise EnqueueError(
                f"{self._task} is refused: its keys and its stage have {len(lane)} characters together, {MAX_LANE} are "
                "allowed: make shorter keys."
            )
        return lane

    def _batch_key(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the key of the batches that a job is for.

        Raises:
            EnqueueError: there is not one item.

        """
        if kwargs or len(args) != 1:
            raise EnqueueError(f"{self._task} runs in batches: give each job one item, by position.")
        if type(args[0]) is list and self._refuses_lists():
            raise EnqueueError(
                f"{self._task} runs in batches, and gets the list from them: enqueue one item, or the items of a list "
                "with enqueue_many(conn, …, [(item,) for item in items])."
            )
        return "" if self._batch_by is None else key_of_item(self._batch_by, args[0])

    def _refuses_lists(self) -> bool:
        """Return True unless the items may be lists, as far as the annotation of the function says."""
        item = item_type(self._function)
        return item is not None and get_origin(item) is not list and item not in (list, object, Any)

    def _unknown(self, name: str) -> EnqueueError:
        return EnqueueError(
            f"{self._task} is refused: a key of its options takes the value of {shorten_repr(name)}, and it is not "
            "known which argument that is: give it by name."
        )

    def _digest(self, by: frozenset[str], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        from pgjobs.flow.digest import digest  # imported lazily: hashlib is slow to import

        same: dict[str, Any] = {"task": self._task}
        if "queue" in by:
            same["queue"] = self._queue
        if "args" in by:
            method = getattr(self._function, "function", None)
            same["self"] = method.__self__ if isinstance(method, MethodType) else None
            same["args"] = dict(self._parameters.bound(args, kwargs))
        return f"by:{digest(same)}"


def _with_meta(flow: FlowOptions, task: str, meta: Mapping[str, Any]) -> list[Template]:
    """Return the templates with the metadata put in: it is the same for all jobs of one encoder."""
    try:
        return [template.with_meta(meta) for template in flow.templates()]
    except UsageError as error:
        raise EnqueueError(f"{task} is refused: {error}") from error.__cause__


def _argument(parameters: Parameters, option: str, name: str) -> _Argument:
    position = parameters.positional.index(name) if name in parameters.positional else sys.maxsize
    try:
        default = parameters.value(name, (), {})
    except LookupError:
        default = _MISSING
    return _Argument(name, option, position, default)
