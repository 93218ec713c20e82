"""The options of a job: their defaults, and what is refused. Plain values, no SQL."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pgjobs.errors import UsageError, brief
from pgjobs.outcome import LONGEST_DELAY
from pgjobs.retry import DEFAULT_POLICY, Backoff, Constant, RetryPolicy

QUEUE_LIMIT = 100  # characters
MOST_ATTEMPTS = 1_000_000
# From the year in which workers begin to look for jobs, to the last that Python and PostgreSQL both have to the end,
# wherever on Earth.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
TOO_LATE = datetime(9999, 1, 1, tzinfo=UTC)
Executor = Literal["thread", "async", "process"]
PayloadKind = Literal["pickle", "json"]
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
DEFAULT_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is to be run.

    `queue`: up to 100 characters. `priority`: 0 (first) to 9. `max_attempts`: how often it may be tried. `timeout`:
    seconds that an attempt may take (None: no limit). `delay`: seconds from now; `run_at`: an aware datetime, from 1970
    to 9998; only one of them. `executor`: thread, async or process (None: async for `async def`, thread for all else).
    `summary`: store a readable form of the call. `payload`: how the arguments travel, pickle or json. `policy`:
    backoff, retry_on, give_up_on; read from the code when the job runs, all else is stored with the job.

    Raises:
        UsageError: a value that can not be used.

    """

    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    max_attempts: int = DEFAULT_ATTEMPTS
    timeout: float | None = None
    delay: float = 0.0
    run_at: datetime | None = None
    executor: Executor | None = None
    summary: bool = True
    payload: PayloadKind = "pickle"
    policy: RetryPolicy = field(default=DEFAULT_POLICY)

    def __post_init__(self) -> None:
        check_queue(self.queue)
        check_priority(self.priority)
        if not _is_int(self.max_attempts) or not 1 <= self.max_attempts <= MOST_ATTEMPTS:
            raise UsageError(
                f"max_attempts={brief(self.max_attempts)}: give a whole number from 1 to {MOST_ATTEMPTS:,}."
            )
        if self.timeout is not None and not (_is_number(self.timeout) and 0.001 <= self.timeout <= LONGEST_DELAY):
            raise UsageError(
                f"timeout={brief(self.timeout)}: give seconds from 0.001 to ten years, or None for no limit."
            )
        if not _is_number(self.delay) or not 0 <= self.delay <= LONGEST_DELAY:
            raise UsageError(f"delay={brief(self.delay)}: give a number of seconds from 0 to ten years.")
        if self.run_at is not None:
            if not isinstance(self.run_at, datetime):
                raise UsageError(f"run_at={brief(self.run_at)}: give a datetime with a time zone.")
            if self.run_at.utcoffset() is None:
                raise UsageError(
                    f"run_at={self.run_at.isoformat()} has no time zone: say which one is meant, for example "
                    "datetime.now(timezone.utc), or use delay=SECONDS."
                )
            if not EARLIEST <= self.run_at < TOO_LATE:
                raise UsageError(f"run_at={self.run_at.isoformat()}: give a time from 1970 to the end of 9998.")
            if self.delay:
                raise UsageError("delay= and run_at= were both given: use one of them.")
        if self.executor not in (None, "thread", "async", "process"):
            raise UsageError(f"executor={self.executor!r}: give 'thread', 'async' or 'process', or leave it out.")
        if self.payload not in ("pickle", "json"):
            raise UsageError(f"payload={brief(self.payload)}: give 'pickle' or 'json'.")

    def changed(self, **changes: Any) -> JobOptions:
        """Give these options with some changed; `delay` and `run_at` replace one another.

        Raises:
            UsageError: a value that can not be used.

        """
        if changes.get("run_at") is not None and "delay" not in changes:
            changes["delay"] = 0.0
        if changes.get("delay") is not None and "run_at" not in changes:
            changes["run_at"] = None
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
    elif _is_number(backoff):
        backoff = Constant(float(backoff))  # type: ignore[arg-type]  # _is_number has just said so
    elif not callable(backoff):
        raise UsageError(
            f"backoff={brief(backoff)}: give seconds, or a function from the attempt (1, 2, …) to seconds."
        )
    return RetryPolicy(backoff, _types("retry_on", retry_on), _types("give_up_on", give_up_on))


def check_queue(queue: object) -> None:
    """Refuse what is no name of a queue.

    Raises:
        UsageError: it is empty, too long, no string, or has a NUL in it.

    """
    if not isinstance(queue, str):
        raise UsageError(f"queue={queue!r}: give a string.")
    if not queue or queue != queue.strip():
        raise UsageError(f"queue={queue!r}: the name of a queue is not empty, and has no space at its ends.")
    if len(queue) > QUEUE_LIMIT:
        raise UsageError(f"queue={queue[:20]!r}… has {len(queue)} characters: {QUEUE_LIMIT} are the most.")
    if not queue.isprintable():
        raise UsageError(f"queue={queue!r}: the name of a queue has printable characters only.")


def check_priority(priority: object) -> None:
    """Refuse what is no priority.

    Raises:
        UsageError: it is no whole number from 0 to 9.

    """
    if not _is_int(priority) or not 0 <= priority <= 9:  # type: ignore[operator]  # an int by then
        raise UsageError(f"priority={brief(priority)}: give a whole number from 0 (first) to 9 (last).")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _types(name: str, value: object) -> tuple[type[BaseException], ...]:
    types: list[type[BaseException]] = []
    for item in value if isinstance(value, tuple | list) else (value,):
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise UsageError(f"{name}={value!r}: give exception types.")
        types.append(item)
    return tuple(types)
