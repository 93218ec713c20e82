"""The options of a job: their defaults, and what is refused. Plain values, no SQL."""

from __future__ import annotations

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
    check_priority,
    check_queue,
    check_seconds,
    check_whole,
    is_exactly,
)
from pgjobs.flow.options import FLOW_OPTIONS, NO_FLOW, FlowOptions
from pgjobs.jobs.retry import DEFAULT_POLICY, Backoff, Constant, RetryPolicy

MAX_ATTEMPTS = 1_000_000
Executor = Literal["thread", "async", "process"]
_EXECUTORS = ("thread", "async", "process")
PayloadKind = Literal["pickle", "json"]
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
DEFAULT_MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is to be run.

    `queue`: up to 100 characters. `priority`: 0 (first) to 9. `max_attempts`: how often it may be tried. `timeout`:
    seconds that an attempt may take (None: no limit). `delay`: seconds from now; `run_at`: an aware datetime, from 1970
    to 9998; only one of them. `executor`: thread, async or process (None: async for `async def`, thread for all else).
    `summary`: store a readable form of the call. `payload`: how the arguments travel, pickle or json. `policy`:
    backoff, retry_on, give_up_on; read from the code when the job runs, all else is stored with the job. `flow`: what
    holds it up.

    Raises:
        UsageError: a value that can not be used.

    """

    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    timeout: float | None = None
    delay: float = 0.0
    run_at: datetime | None = None
    executor: Executor | None = None
    summary: bool = True
    payload: PayloadKind = "pickle"
    policy: RetryPolicy = field(default=DEFAULT_POLICY)
    flow: FlowOptions = NO_FLOW

    def __post_init__(self) -> None:
        self._keep("queue", check_queue(self.queue))
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
        self._keep("payload", check_choice("payload", self.payload, ("pickle", "json")))
        check_bool("summary", self.summary)
        if not is_exactly(self.policy, RetryPolicy):
            raise UsageError(
                f"policy={shorten_repr(self.policy)}: give a RetryPolicy, or backoff, retry_on and give_up_on."
            )
        if self.flow is not NO_FLOW:
            self._check_flow()

    def _check_flow(self) -> None:
        if not is_exactly(self.flow, FlowOptions):
            raise UsageError(f"flow={shorten_repr(self.flow)}: give a Flow, or its options by their names.")
        expires = self.flow.expires
        if isinstance(expires, datetime) and self.run_at is not None and expires <= self.run_at:
            raise UsageError(
                f"expires={expires.isoformat()} is not after run_at={self.run_at.isoformat()}, so the job would never "
                "run: give a later time, or seconds after it is due."
            )

    def _keep(self, name: str, value: object) -> None:
        """Put the plain value in the place of a subclass's."""
        if getattr(self, name) is not value:
            object.__setattr__(self, name, value)

    def changed(self, **changes: Any) -> JobOptions:
        """Give these options with some changed; `delay` and `run_at` replace one another.

        Raises:
            UsageError: a value that can not be used.

        """
        if changes.get("run_at") is not None and "delay" not in changes:
            changes["delay"] = 0.0
        if changes.get("delay") is not None and "run_at" not in changes:
            changes["run_at"] = None
        if not FLOW_OPTIONS.isdisjoint(changes):
            flow = {name: changes.pop(name) for name in FLOW_OPTIONS.intersection(changes)}
            changes["flow"] = replace(self.flow, **flow)
        return replace(self, **changes)


def make_policy(
    backoff: Backoff | Seconds | None,
    retry_on: type[BaseException] | tuple[type[BaseException], ...],
    give_up_on: type[BaseException] | tuple[type[BaseException], ...],
) -> RetryPolicy:
    """Check and put together what decides about retries; a number as backoff is that many seconds, always.

    Raises:
        UsageError: the backoff is neither seconds nor callable, or a type is no exception.

    """
    if backoff is None:
        backoff = DEFAULT_POLICY.backoff
    elif (seconds := as_seconds(backoff)) is not None:
        backoff = Constant(seconds)
    elif not callable(backoff):
        raise UsageError(
            f"backoff={shorten_repr(backoff)}: give seconds, or a function from the attempt (1, 2, …) to seconds."
        )
    return RetryPolicy(backoff, check_exceptions("retry_on", retry_on), check_exceptions("give_up_on", give_up_on))
