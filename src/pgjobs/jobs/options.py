"""The options of a job: their defaults, and what is refused. Plain values, no SQL."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from pgjobs.core.errors import UsageError, shorten_repr
from pgjobs.core.moments import check_datetime
from pgjobs.core.validate import (
    MAX_DELAY,
    as_int,
    as_number,
    as_str,
    check_priority,
    check_queue,
    is_exactly,
)
from pgjobs.flow.options import FLOW_OPTIONS, NO_FLOW, FlowOptions
from pgjobs.jobs.retry import DEFAULT_POLICY, Backoff, Constant, RetryPolicy

MAX_ATTEMPTS = 1_000_000
Executor = Literal["thread", "async", "process"]
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
        attempts = as_int(self.max_attempts)
        if attempts is None or not 1 <= attempts <= MAX_ATTEMPTS:
            raise UsageError(
                f"max_attempts={shorten_repr(self.max_attempts)}: give a whole number from 1 to {MAX_ATTEMPTS:,}."
            )
        self._keep("max_attempts", attempts)
        if self.timeout is not None:
            timeout = as_number(self.timeout)
            if timeout is None or not 0.001 <= timeout <= MAX_DELAY:
                raise UsageError(
                    f"timeout={shorten_repr(self.timeout)}: give seconds from 0.001 to ten years, or None for no limit."
                )
            self._keep("timeout", timeout)
        delay = as_number(self.delay)
        if delay is None or not 0 <= delay <= MAX_DELAY:
            raise UsageError(f"delay={shorten_repr(self.delay)}: give a number of seconds from 0 to ten years.")
        self._keep("delay", delay)
        if self.run_at is not None:
            check_datetime("run_at", self.run_at)
            if delay:
                raise UsageError("delay= and run_at= were both given: use one of them.")
        executor, payload = as_str(self.executor), as_str(self.payload)
        if self.executor is not None and executor not in ("thread", "async", "process"):
            raise UsageError(
                f"executor={shorten_repr(self.executor)}: give 'thread', 'async' or 'process', or leave it out."
            )
        self._keep("executor", executor)
        if payload not in ("pickle", "json"):
            raise UsageError(f"payload={shorten_repr(self.payload)}: give 'pickle' or 'json'.")
        self._keep("payload", payload)
        if self.summary is not True and self.summary is not False:
            raise UsageError(f"summary={shorten_repr(self.summary)}: give True or False.")
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
    backoff: Backoff | float | None,
    retry_on: type[BaseException] | tuple[type[BaseException], ...],
    give_up_on: type[BaseException] | tuple[type[BaseException], ...],
) -> RetryPolicy:
    """Check and put together what decides about retries; a number as backoff is that many seconds, always.

    Raises:
        UsageError: the backoff is neither seconds nor callable, or a type is no exception.

    """
    if backoff is None:
        backoff = DEFAULT_POLICY.backoff
    elif (seconds := as_number(backoff)) is not None:
        backoff = Constant(seconds)
    elif not callable(backoff):
        raise UsageError(
            f"backoff={shorten_repr(backoff)}: give seconds, or a function from the attempt (1, 2, …) to seconds."
        )
    return RetryPolicy(backoff, _types("retry_on", retry_on), _types("give_up_on", give_up_on))


def _types(name: str, value: object) -> tuple[type[BaseException], ...]:
    types: list[type[BaseException]] = []
    items: Any = value if is_exactly(value, tuple) or is_exactly(value, list) else (value,)
    for item in items:
        if not (is_exactly(item, type) and issubclass(item, BaseException)):
            raise UsageError(f"{name}={shorten_repr(value)}: give exception types.")
        types.append(item)
    return tuple(types)
