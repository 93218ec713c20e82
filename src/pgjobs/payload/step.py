"""The payload of a step of a workflow: a head of JSON that says which arguments are results, before the usual payload.

The head is signed with the rest. A job that is not a step has no head, and pays nothing for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from struct import Struct
from typing import TYPE_CHECKING, Any, Protocol

from pgjobs.core.errors import PayloadError
from pgjobs.jobs.job import Job, is_async, is_lasting, like, options_of
from pgjobs.jobs.transaction import TransactionJob

if TYPE_CHECKING:
    from pgjobs.jobs.options import JobOptions
    from pgjobs.payload.pickling import Call

_MARK = b"\0step"
_LENGTH = Struct(">I")
_START = len(_MARK) + _LENGTH.size
# `json.loads` would look which encoding it is, each time.
_DECODE = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # typeshed does not know it


def with_head(head: Mapping[str, Any], payload: bytes) -> bytes:
    """Return the payload of a step."""
    return head_bytes(head) + payload


def head_bytes(head: Mapping[str, Any]) -> bytes:
    """Return what stands before the payload of a step.

    `workflow`: its id. `step`: whether it is one, and not what a workflow calls at its end. `keep`: for how many
    seconds its result is kept, if not as its job says. `results`: for each argument that is another's result, the way
    to it, the node, and whether it has many. `map`: it is called once for each item of its argument. Items of pipelines
    have a head as well: see stage.py.
    """
    text = json.dumps(head, separators=(",", ":")).encode()
    return _MARK + _LENGTH.pack(len(text)) + text


def split(payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the head and the rest.

    Raises:
        PayloadError: it is damaged.

    """
    if payload[: len(_MARK)] != _MARK or len(payload) < _START:
        raise PayloadError("the payload cannot be loaded, it is damaged: it does not begin as that of a step.")
    end = _START + _LENGTH.unpack_from(payload, len(_MARK))[0]
    try:
        return _DECODE(payload[_START:end].decode(), 0)[0], payload[end:]
    except StopIteration:
        raise PayloadError("the payload cannot be loaded, it is damaged: its head is not JSON.") from None


class Runner(Protocol):
    """Runs steps in this process: knows where the results of others are."""

    def arguments(
        self, head: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments, with the results of other steps put in."""

    def enter(self, step: StepJob) -> None:
        """Make the step known to what runs in it."""

    def map(self, step: StepJob, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Add a step for each item of the first argument."""


class StepJob(Job[..., Any]):
    """What a step runs: its function, with the results of other steps as arguments. Made for one attempt."""

    inner: Callable[..., Any]
    head: dict[str, Any]
    grown: Any
    """What the step has added to its workflow, to be written when it is acknowledged; None: nothing."""
    may_add: bool
    """Whether it may: a job with transaction=True is acknowledged by its own commit."""

    def __init__(self, inner: Callable[..., Any], head: dict[str, Any], *, may_add: bool = True) -> None:
        self.may_add = may_add and bool(head.get("step"))
        self.inner, self.head, self.grown = inner, head, None
        is_map = bool(head.get("map"))
        run = self._run_async if not is_map and is_async(inner) else self._map if is_map else self._run
        options = options_of(inner).changed(result=None) if is_map else _options_of_step(inner, head)
        name = inner.declared_name if isinstance(inner, Job) else None
        super().__init__(run, options, name)

    @classmethod
    def of(cls, inner: Callable[..., Any], head: dict[str, Any]) -> StepJob:
        """Make the step for one attempt, from what is known of its function: to look at that takes ten times as long.

        What a payload has made anew is not kept.
        """
        key = id(inner), head.get("keep"), "map" in head
        known = _known.get(key)
        if known is None:
            if not is_lasting(inner):
                return cls(inner, head)
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            # It holds the function, whose id stays its own.
            known = _known[key] = cls(inner, {name: head[name] for name in ("keep", "map") if name in head})
        return like(known, {"head": head, "may_add": bool(head.get("step"))})

    def _run(self, /, *args: Any, **kwargs: Any) -> Any:
        runner = _runner()
        runner.enter(self)
        args, kwargs = runner.arguments(self.head, args, kwargs)
        return self.inner(*args, **kwargs)

    async def _run_async(self, /, *args: Any, **kwargs: Any) -> Any:
        runner = _runner()
        runner.enter(self)
        if self.head.get("results"):
            from asyncio import to_thread  # imported lazily: few steps need it

            args, kwargs = await to_thread(runner.arguments, self.head, args, kwargs)
        return await self.inner(*args, **kwargs)

    def _map(self, /, *args: Any, **kwargs: Any) -> None:
        runner = _runner()
        args, kwargs = runner.arguments(self.head, args, kwargs)
        runner.map(self, args, kwargs)


_known: dict[tuple[int, Any, bool], StepJob] = {}
_MOST_KNOWN = 1_000
_runners: list[Callable[[], Runner]] = []


@cache
def _runner() -> Runner:
    if not _runners:
        raise LookupError("steps of workflows need a worker, and this process is not one.")
    return _runners[-1]()


def run_steps_with(make: Callable[[], Runner]) -> None:
    """Set what makes the runner of this process, when a step first needs it."""
    _runners.append(make)
    _runner.cache_clear()


def _options_of_step(inner: Callable[..., Any], head: Mapping[str, Any]) -> JobOptions:
    """Return the options of a step: its result is kept for those who take it."""
    options, keep = options_of(inner), head.get("keep")
    if keep is None or (options.result is not None and options.result >= keep):
        return options
    return options.changed(result=float(keep))


def step_of(head: dict[str, Any], call: Call) -> Call:
    """Make the call of a step of one that was just loaded, and return it."""
    inner: Any = call.callable
    if isinstance(inner, TransactionJob) and not head.get("map"):
        call.callable = _in_transaction(inner, head)
    else:
        call.callable = StepJob.of(inner, head)
    return call


def _in_transaction(inner: TransactionJob[Any, ..., Any], head: dict[str, Any]) -> Any:
    """Return a step whose worker passes a connection: what it is called with comes before the results of others."""
    step, function = StepJob(inner, head, may_add=False), inner.function

    def run(conn: Any, /, *args: Any, **kwargs: Any) -> Any:
        _runner().enter(step)
        args, kwargs = _runner().arguments(head, args, kwargs)
        return function(conn, *args, **kwargs)

    async def run_async(conn: Any, /, *args: Any, **kwargs: Any) -> Any:
        from asyncio import to_thread  # imported lazily, as above

        _runner().enter(step)
        args, kwargs = await to_thread(_runner().arguments, head, args, kwargs)
        return await function(conn, *args, **kwargs)

    made: Any = inner.with_job_options(_options_of_step(inner, head))
    made.function = run_async if inner.is_async else run
    return made
