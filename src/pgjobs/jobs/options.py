"""The options of a job: what `@job` and `Job.options` take, and the checked values that they become. No SQL.

A new option is a line of one of the TypedDicts and a field of `JobOptions` (or of `FlowOptions`, if it holds jobs up),
with its check; `job`, `Job.options` and the help for misspelled names (`jobs/checks.py`) follow from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from pgjobs.core.errors import UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import (
    MIN_SECONDS,
    Seconds,
    as_seconds,
    check_bool,
    check_choice,
    check_datetime,
    check_exceptions,
    check_new_queue,
    check_priority,
    check_seconds,
    check_whole,
    has_type,
)
from pgjobs.flow.batch import Batch
from pgjobs.flow.options import FLOW_OPTIONS, NO_FLOW, FlowArguments, FlowOptions, Handle, IfFailed, Unnumbered
from pgjobs.jobs.meta import check_meta
from pgjobs.jobs.retry import DEFAULT_POLICY, Backoff, Constant, RetryPolicy

MAX_ATTEMPTS = 1_000_000
Executor = Literal["thread", "async", "process"]
PayloadKind = Literal["pickle", "json"]
ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]
_EXECUTORS = ("thread", "async", "process")
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
DEFAULT_MAX_ATTEMPTS = 5
DEFAULT_RESULT = 86_400.0  # seconds that result=True keeps


class _BothOptions(FlowArguments, total=False):
    """The options that `@job` gives and `Job.options` changes."""

    queue: str
    """Where its jobs go, up to 100 characters. Default: "default"."""
    priority: int
    """0 (first) to 9 (last). Default: 5."""
    max_attempts: int
    """How often a job may be tried. Default: 5."""
    timeout: Seconds | None
    """What an attempt may take. None, the default: no limit."""
    executor: Executor | None
    """Where it runs. None, the default: "async" for `async def`, "thread" for all else."""
    summary: bool
    """Whether a readable form of the call is stored with the job. Default: True."""
    orm_objects: bool
    """Whether objects of an ORM may be arguments. The job gets copies of them. Default: False."""
    meta: Mapping[str, Any] | None
    """A JSON object of up to 4 kB that travels with the job: `current_job().meta`. Changes are merged into it."""
    result: bool | Seconds | None
    """How long what it returns is kept, for `result()`. True: a day. Default: nothing is kept."""


class CommonArguments(_BothOptions, total=False):
    """The options of `@job`, but for `transaction` and `batch`, which change what the function is called with."""

    name: str | None
    """What rows call the job, so that it is found after its function has moved. None: `module:qualname`."""
    aliases: Iterable[str]
    """Older names: rows that have one of them still find the job, once a worker has imported its module."""
    backoff: Backoff | Seconds | None
    """The time between attempts, or a function from the attempt (1, 2, …) to it. None: `ExponentialBackoff()`."""
    retry_on: ExceptionTypes
    """The exceptions that are worth another attempt. None given: all of them."""
    give_up_on: ExceptionTypes
    """The exceptions that are not, even if `retry_on` has them."""
    payload: PayloadKind
    """How the arguments travel: "pickle", the default, or "json", which SQL and other languages can write as well."""


class JobArguments(CommonArguments, total=False):
    """The options of `@job`."""

    transaction: bool
    """Whether the worker opens a transaction and passes it as the first argument; its COMMIT ends the job."""
    batch: Batch | None
    """Its jobs are enqueued one by one, and the function gets a list of what has come together."""


class OptionChanges(_BothOptions, total=False):
    """The options of `Job.options`, for one enqueue."""

    delay: Seconds
    """When the job is due, from now. Replaces `run_at`."""
    run_at: datetime | None
    """When the job is due, with a time zone. Replaces `delay`."""
    after: int | Handle | Unnumbered | Iterable[int | Handle | Unnumbered] | None
    """The jobs that have to end before, as handles or ids; in a workflow, steps of it. One needs no list."""
    if_failed: IfFailed
    """What the job does when one of these fails or is cancelled: "wait", the default, "run", "cancel" itself, or
    "skip": end without running, and let what waits for it go on."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is to be run: the options that `@job` and `Job.options` were given, checked. Durations are in seconds.

    `policy`: backoff, retry_on and give_up_on; it is read from the code when the job runs, all else is stored with the
    job. `payload`: "event" for those of subscriptions. `flow`: the options that hold it up. `result` and `transaction`
    are read from the code, too; a change of `result` for one enqueue is in the payload.

    Raises:
        UsageError: a value that cannot be used.

    """

    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    timeout: float | None = None
    delay: float = 0.0
    run_at: datetime | None = None
    executor: Executor | None = None
    summary: bool = True
    orm_objects: bool = False
    payload: PayloadKind | Literal["event"] = "pickle"
    policy: RetryPolicy = field(default=DEFAULT_POLICY)
    flow: FlowOptions = NO_FLOW
    meta: dict[str, Any] | None = field(default=None, hash=False)
    result: float | None = None
    transaction: bool = False

    def __post_init__(self) -> None:
        self._keep("queue", check_new_queue(self.queue))
        self._keep("priority", check_priority(self.priority))
        self._keep("max_attempts", check_whole("max_attempts", self.max_attempts, 1, MAX_ATTEMPTS))
        if self.timeout is not None:
            timeout = check_seconds("timeout", self.timeout, least=MIN_SECONDS, or_else="None for no limit")
            self._keep("timeout", timeout)
        self._keep("delay", check_seconds("delay", self.delay))
        if self.run_at is not None:
            check_datetime("run_at", self.run_at)
            if self.delay:
                raise UsageError("delay= and run_at= were both given: use one of them.")
        if self.executor is not None:
            self._keep("executor", check_choice("executor", self.executor, _EXECUTORS, or_else="None"))
        self._keep("payload", check_choice("payload", self.payload, ("pickle", "json", "event")))
        check_bool("summary", self.summary)
        check_bool("orm_objects", self.orm_objects)
        check_bool("transaction", self.transaction)
        if not has_type(self.policy, RetryPolicy):
            raise UsageError(
                f"policy={shorten_repr(self.policy)}: give a RetryPolicy, or backoff, retry_on and give_up_on."
            )
        if self.meta is not None:
            self._keep("meta", check_meta(self.meta))
        if self.result is not None:
            self._keep("result", _check_result(self.result))
        if self.flow is not NO_FLOW:
            self._check_flow()

    def _check_flow(self) -> None:
        if self.flow.batch is not None and self.transaction and self.result is not None:
            raise UsageError("result=, batch= and transaction=True: a COMMIT that ends a batch keeps no results.")
        if not has_type(self.flow, FlowOptions):
            raise UsageError(f"flow={shorten_repr(self.flow)}: give FlowOptions, or its options by their names.")
        expires = self.flow.expires
        if isinstance(expires, datetime) and self.run_at is not None and expires <= self.run_at:
            raise UsageError(
                f"expires={expires.isoformat()} is not after run_at={self.run_at.isoformat()}, so the job would never "
                "run: give a later time, or seconds after it is due."
            )

    def _keep(self, name: str, value: object) -> None:
        """Store the plain value instead of a subclass's."""
        if getattr(self, name) is not value:
            object.__setattr__(self, name, value)

    def changed(self, **changes: Any) -> JobOptions:
        """Return these options with some changed; `delay` and `run_at` replace one another.

        Raises:
            UsageError: a value that cannot be used.

        """
        if changes.get("run_at") is not None and "delay" not in changes:
            changes["delay"] = 0.0
        if changes.get("delay") is not None and "run_at" not in changes:
            changes["run_at"] = None
        if self.meta is not None and changes.get("meta") is not None:
            changes["meta"] = {**self.meta, **(check_meta(changes["meta"]) or {})}
        if not FLOW_OPTIONS.isdisjoint(changes):
            flow = {name: changes.pop(name) for name in FLOW_OPTIONS.intersection(changes)}
            changes["flow"] = replace(self.flow, **flow)
        return replace(self, **changes)


def _check_result(value: object) -> float | None:
    if value is True:
        return DEFAULT_RESULT
    if value is False:
        return None
    return check_seconds("result", value, least=MIN_SECONDS, or_else="True for a day, or False to keep nothing")


def make_options(given: JobArguments) -> JobOptions:
    """Return the options of a job that is decorated with these arguments.

    Raises:
        UsageError: a value that cannot be used.

    """
    rest: dict[str, Any] = {**given}
    if "payload" in rest:
        check_choice("payload", rest["payload"], ("pickle", "json"))
    policy = make_policy(rest.pop("backoff", None), rest.pop("retry_on", ()), rest.pop("give_up_on", ()))
    flow = FlowOptions(**{name: rest.pop(name) for name in FLOW_OPTIONS.intersection(rest)})
    return JobOptions(policy=policy, flow=NO_FLOW if flow == NO_FLOW else flow, **rest)


def make_policy(backoff: Backoff | Seconds | None, retry_on: ExceptionTypes, give_up_on: ExceptionTypes) -> RetryPolicy:
    """Return what decides about retries. A duration as backoff is the same after every attempt.

    Raises:
        UsageError: the backoff is neither a duration nor callable, or a type is not an exception.

    """
    if backoff is None:
        backoff = DEFAULT_POLICY.backoff
    elif (seconds := as_seconds(backoff)) is not None:
        backoff = Constant(seconds)
    elif not callable(backoff):
        raise UsageError(
            f"backoff={shorten_repr(backoff)}: give seconds, a timedelta, or a function from the attempt (1, 2, …) to "
            "seconds."
        )
    return RetryPolicy(backoff, check_exceptions("retry_on", retry_on), check_exceptions("give_up_on", give_up_on))
